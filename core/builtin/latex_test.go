package builtin

import (
	"strings"
	"testing"
)

// same compares two results both ways, as numbers that are rounded to six places
// are compared.
func same(t testing.TB, a, b string) bool {
	t.Helper()
	x, y := readMath(a), readMath(b)
	if !x.ok || !y.ok {
		return x.text != "" && x.text == y.text
	}
	got := sameFormula(x.formula, y.formula, decimalPlaces)
	if sameFormula(y.formula, x.formula, decimalPlaces) != got {
		t.Errorf("%q and %q are the same (%t) one way only", a, b, got)
	}
	return got
}

func TestSameFormula(t *testing.T) {
	for _, c := range []struct {
		kind string
		yes  string // pairs that are the same: a == b, with two spaces, the equals signs and two spaces between
		no   string // pairs that are not
	}{
		{"numbers", `5  ==  5.0; 007  ==  7; 1,234,567  ==  1234567; 1{,}234  ==  1234; 1 000  ==  1000; \$16386.17  ==  16386.17; -.5  ==  -1/2; 11,\! 111  ==  11111; 1\,000  ==  1000; 0,125  ==  1/8; €5  ==  5; "4"  ==  4; 1.5E3  ==  1500`,
			`1,2  ==  12; 5  ==  6; 1e3  ==  1000; 123456789123456789  ==  123456789123456788; 9^{9^{9}}  ==  9^{9^{8}}; 2^{200}  ==  2^{200}+1`},
		{"fractions", `\frac{3}{4}  ==  3/4; \frac12  ==  0.5; \frac{1}2  ==  0.5; \frac3{10}  ==  .3; \dfrac{6}{8}  ==  \tfrac34; 2\frac{1}{2}  ==  5/2; -2\frac12  ==  -2.5; 1 1/2  ==  1.5; -4 4/9  ==  -40/9; 1 000 4/9  ==  9004/9; 2 \frac{7}{6}  ==  19/6; \frac116  ==  1/16; 12\div 4  ==  3; 7:32  ==  7/32`,
			`\frac{3}{4}  ==  \frac{3}{5}; 1/0  ==  2/0; 11 7/6  ==  73/6; 11/10 4/9  ==  139/90; 11.0 4/9  ==  103/9; \frac{1}{3}  ==  0.33`},
		{"rounded", `0.333333  ==  1/3; \pi  ==  3.141593; 0.4444444444444444  ==  \frac49; \sqrt{2}  ==  1.414214`, `\pi  ==  3.14159; \pi  ==  \frac{22}{7}; 1/3  ==  0.3333`},
		{"percent", `50\%  ==  0.5; 50\%  ==  50 percent; 28 pct  ==  28\%; 12.5\%  ==  \frac18`, `50\%  ==  50`},
		{"powers and roots", `2^{10}  ==  1024; 2^10  ==  1024; \sqrt{8}  ==  2\sqrt{2}; \sqrt3  ==  3^{1/2}; \sqrt[3]{27}  ==  3; 1.5\times 10^3  ==  1500; 1.5 × 10^{-3}  ==  0.0015; \frac{1}{\sqrt{2}}  ==  \frac{\sqrt2}{2}; x^{-1}  ==  \frac{1}{x}; e^{i\pi}  ==  -1; 2**3  ==  8; 2**-1  ==  1/2; x²  ==  x^2; 4^{1/2}  ==  2; \sqrt{\frac{9}{16}}  ==  0.75; \frac{1}{3x^{2/3}}  ==  \frac{1}{3\sqrt[3]{x}^2}`,
			`\sqrt{8}  ==  2\sqrt{3}; 10^{100}  ==  10^{101}; \sqrt{x^2}  ==  x`},
		{"complex", `(1+i)^2  ==  2i; \frac{1}{i}  ==  -i; 3+4i  ==  4i+3; |3+4i|  ==  5`, `3+4i  ==  3-4i`},
		{"polynomials", `(x+1)^2  ==  x^2+2x+1; (x-y)(x+y)  ==  x^2-y^2; \frac{x+2}{7}  ==  \frac{x}{7}+\frac{2}{7}; 2(x+1)  ==  2x+2; x(y+1)  ==  xy+x; -2(x - 1)^2 + 5  ==  -2 x^{2}+4 x+3; ab  ==  ba`,
			`x^2+1  ==  x^2+2; (a+5)(b+2)  ==  (+5)(b+2); x+2n+1  ==  x+1; x  ==  y; x^2  ==  y^2`},
		{"functions", `\sin^2 x+\cos^2 x  ==  1; \tan^2(y)+1  ==  \sec^2(y); 2\sin b\cos a  ==  2 \cos a \sin b; \log_2 8  ==  3; \ln e  ==  1; \log 100  ==  2; \arctan 1  ==  \frac{\pi}{4}; \sin^{-1} 1  ==  \pi/2; 5!  ==  120; \binom{5}{2}  ==  10; {5 \choose 2}  ==  10; \lfloor 2.5\rfloor  ==  2; \gcd(12,18)  ==  6; |{-3}|  ==  3; f(2)+1  ==  1+f(2); \max(1,7,3)  ==  7; \begin{vmatrix}1&2\\3&4\end{vmatrix}  ==  -2`,
			`\sin 2x  ==  2\sin x; f(x)  ==  f(y); f(2)  ==  f(3); f(x)  ==  g(x); \log_2 8  ==  \log_3 8`},
		{"sets", `1,2,3  ==  3,2,1; \{1,2\}  ==  1,2; 1,1,2  ==  1,2; 1 \text{ and } 2  ==  2, 1; 6 or 8  ==  8,6; -2;1  ==  1,-2; \{x\}  ==  x; \emptyset  ==  \{\}; 1\pm\sqrt{19}  ==  1+\sqrt{19},1-\sqrt{19}; \pm 3  ==  \{3,-3\}; \frac{1\pm\sqrt5}{2}  ==  \frac{1-\sqrt5}{2},\frac{1+\sqrt5}{2}`,
			`1,2  ==  1,2,3; \{1,2\}  ==  \{1,3\}; \emptyset  ==  0; 1,2,2  ==  1,1,3`},
		{"points", `(1,2)  ==  (1, 2.0); \left(1,\frac92\right)  ==  (1,4.5); (1;2;3)  ==  (1,2,3); (1,3)  ==  1,3; (2,1),(1,2)  ==  (1,2),(2,1); (0;0;0),(0;-2;0)  ==  (0,-2,0),(0,0,0); (p,q)=(3,2)  ==  (3,2)`,
			`(1,2)  ==  (2,1); (3,1)  ==  \{1,3\}; (1,2)  ==  (1,2,3); (1,2)  ==  [1,2]`},
		{"intervals", `[0,1)  ==  [0, 1.0); (-\infty,2)\cup(3,5]  ==  (3,5] \cup (-\infty, 2); [0,1]\cup[1,2]  ==  [0,2]; (0,1)\cup\{1\}  ==  (0,1]; (-\infty,\infty)  ==  \mathbb{R}; \mathbb{R}\setminus\{1\}  ==  (-\infty,1)\cup(1,\infty); (1,+\infty)  ==  (1,\infty); (a,b]  ==  (a,b]; [0,3]\cap[2,5]  ==  [2,3]`,
			`[0,1)  ==  [0,1]; (0,9)  ==  [0,9); (0,1)\cup(1,2)  ==  (0,2); (a,b]  ==  (a,c]`},
		{"equations", `x = 3  ==  3; k=1  ==  1; f(x)=1  ==  1; |AB|=1  ==  1; x=1 or x=2  ==  1,2; x = 1, 2  ==  2,1; y=2,x=1  ==  x=1,y=2; x=5+6=11  ==  x = 11; 2x+4y-3=0  ==  y=-\frac{1}{2}x+\frac{3}{4}; x^2/4 + y^2/3 = 1  ==  x^2/16 + y^2/12 = 1/4; x\approx 11  ==  11; x=1/3\approx1.3  ==  1/3; p=5,q=2;p=7,q=2  ==  (5,2),(7,2); x = 1 \pm 2  ==  3,-1; a \ne 3  ==  a != 3`,
			`x=1  ==  y=2; x=1  ==  x=2; 7 = 11a+c  ==  11a+c; a^2+b=0  ==  0; x^2+y=1  ==  x^2+y=2`},
		{"inequalities", `x \leq 5  ==  5 \geq x; x<1  ==  -x>-1; 2x<2  ==  x<1; -2 \le x \le 7  ==  x \in [-2,7]; 7 \ge x \ge -2  ==  -2 \le x \le 7; 0<f(x)<1  ==  (0,1); 1\leq|z|\leq \frac32  ==  z \in [-\frac32,-1]\cup[1,\frac32]; x \ne 5  ==  (-\infty,5)\cup(5,\infty); x^2<4  ==  (-2,2); x>=5  ==  [5,\infty)`,
			`x>5  ==  x<5; x\ge 5  ==  x>5; x<1  ==  x>-1; x<1  ==  (0,1); 0<x<1  ==  [0,1]; x^2<4  ==  (-\infty,2)`},
		{"matrices", `\begin{pmatrix}1 & 2 \\ 3 & 4\end{pmatrix}  ==  \left[\begin{array}{cc}1&2\\3&4\end{array}\right]; \begin{pmatrix}1\\2\\\end{pmatrix}  ==  \begin{bmatrix}1.0\\2\end{bmatrix}; \begin{pmatrix}1&2\\3&4\end{pmatrix}+\begin{pmatrix}5&6\\7&8\end{pmatrix}  ==  \begin{pmatrix}6&8\\10&12\end{pmatrix}; 2\begin{pmatrix}1\\2\end{pmatrix}  ==  \begin{pmatrix}2\\4\end{pmatrix}`,
			`\begin{pmatrix}1&2\\3&4\end{pmatrix}  ==  \begin{pmatrix}1&2\\3&5\end{pmatrix}; \begin{pmatrix}1&2\end{pmatrix}  ==  \begin{pmatrix}1\\2\end{pmatrix}`},
		{"units", `5 \text{ cm}  ==  5; 15\mbox{ cm}^2  ==  15; 90^\circ  ==  90; 90^{\circ}  ==  90; 90°  ==  90; 125\textnormal{ miles}  ==  125; 35 cm  ==  35; 5 m  ==  5; 3 hours  ==  3; 12 km²  ==  12; x = 5 cm  ==  5; 5 m/s  ==  5; 25^\circ\text{C}  ==  25; 25^{\circ} F  ==  25; 10\mathrm{~cm}  ==  10; 4:30 \text{ p.m.}  ==  4:30\text{ p.m.}`,
			`9 am  ==  9 pm; 9\text{ a.m.}  ==  9\text{ p.m.}; 3x+2t  ==  3x+2; 5\text{ cm}  ==  6\text{ cm}`},
		{"text", `\text{Evelyn}  ==  \textbf{evelyn}; \text{(C)}  ==  C; \text{odd}  ==  odd; \text{E}  ==  E; \mathrm{B}  ==  B; \text{e}  ==  e; 204_5  ==  204_5`, `\text{Evelyn}  ==  \text{Carla}; A  ==  B`},
		{"what cannot be read", `1 000!  ==  1 000!; \foo{x  ==  \foo{x; \sum_{k=1}^n  ==  \sum_{k=1}^n`, `\foo{x  ==  \foo{y; (  ==  ); 5  ==  (; {  ==  }`},
	} {
		for want, pairs := range map[bool]string{true: c.yes, false: c.no} {
			for _, pair := range strings.Split(pairs, "; ") {
				a, b, ok := strings.Cut(pair, "  ==  ")
				if !ok {
					t.Fatalf("%q is no pair", pair)
				}
				if got := same(t, a, b); got != want {
					t.Errorf("%s: %q and %q: %t, want %t", c.kind, a, b, got, want)
				}
			}
		}
	}
}

// TestHostileFormulas checks that what is made to be slow ends: the test would not,
// or a stack would overflow.
func TestHostileFormulas(t *testing.T) {
	many := func(s string) string { return strings.Repeat(s, 3000/len(s)) }
	for _, s := range []string{
		many("("), many("{"), many("["), many("|"), many(`\{`), many(`\frac{`), many(`\sqrt`), many("^2"), "9" + many("^9"), many("(9)^"), "9^{9^{9^{9^{9}}}}",
		"1" + many("!"), many("1,"), many("x,"), many("(1,2),"), many(`1\pm`), many("x="), many("1+"), many("-") + "1", many(`\begin{pmatrix}1&2\end{pmatrix}`),
		many(`[0,1]\cup`) + "[0,1]", many("f(") + "x" + many(")"), many("(x+y)^{99}") + "1", many("x_"), strings.Repeat("x(", 48) + "x" + strings.Repeat("+1)", 48), strings.Repeat("x(", 40) + "x" + strings.Repeat("+1,2)", 40), many("9^{6000},"), strings.Repeat(`\begin{pmatrix}1&2\\3&4\end{pmatrix}`, 70), many(`\text{`), "99999999999999999999!", `\binom{999}{500}^{999}`, many("1"), "1." + many("0") + "E999",
		many("(x+1)(y+2)") + "<1", many("f(x,"), many("1<"), many("10^{300}"), many("$"), many(`\left(`), many("a/"), many("2/3 "), many(`\log_2 `), many(`\int `), "(" + many("x+") + "1)!",
	} {
		same(t, s, s+"+1")
		same(t, s, "x")
		mathReward(t, `\boxed{`+s+`}`, s+"1")
		accuracyOf(t, strings.Repeat("answer: $", 500)+s, s)
		accuracyOf(t, strings.Repeat(`\boxed{`, 500)+s, "the final answer is "+s)
	}
}

// FuzzMath checks that any two texts can be compared: without a panic or a hang, the
// same as itself, and the same both ways.
func FuzzMath(f *testing.F) {
	for _, s := range []string{
		`\frac{3}{4}`, `x=1 \text{ or } x=2`, `[0,1)\cup(2,\infty)`, `\begin{pmatrix}1&2\\3&4\end{pmatrix}`, `1\pm\sqrt{5}`, `-2\le x\le 7`, `\{1,2\}`, `(1,2),(3,4)`, `50\%`, `5!`, `\sin^2 x`, `f(x)`, `|x|<1`,
		`2^{10}`, `1,234`, `\text{Evelyn}`, `\mathbb{R}\setminus\{0\}`, `e^{i\pi}`, `\log_2 8`, `{5\choose 2}`, `90^\circ`,
	} {
		f.Add(s, `x`)
		f.Add(s, s)
	}
	for _, s := range []string{
		`The final answer is $5$ and $6$. I hope it is correct.`, `\boxed{1} and \boxed{2}`, `answer: 5 = 5`, `final answer, so to say, is: \(4\) or`, `so \[ 5 \] percent,`, ` [5] `, `1,234.5 %`,
		`$$5$$ and`, `#### 7`, `\fbox{5}`, `\boxed{`, `1 000!`, `11 5/6`, `\frac12\frac{3}4`, `x^{2}_1'`, `\begin{array}{cc}1\\\end{array}`,
	} {
		f.Add(s, "5")
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := readMath(a), readMath(b)
		if x.text != "" && !x.is(x, decimalPlaces) {
			t.Errorf("%q is not itself", a)
		}
		if x.ok && y.ok {
			for _, places := range []int{0, decimalPlaces} {
				if one, other := sameFormula(x.formula, y.formula, places), sameFormula(y.formula, x.formula, places); one != other {
					t.Errorf("%q and %q: %t one way, %t the other", a, b, one, other)
				}
			}
		}
		lastResult(a)
		accuracy(completionOf("<answer>"+a+"</answer>", b))
		accuracy(completionOf(a, b))
	})
}
