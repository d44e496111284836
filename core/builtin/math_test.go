package builtin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"regexp"
	"testing"

	"swiftgo/api"
)

func mathReward(t *testing.T, text, truth string) float64 {
	t.Helper()
	orm, err := newMath(own("math", nil))
	if err != nil {
		t.Fatal(err)
	}
	rewards, err := orm.Score(context.Background(), []api.Completion{{Text: text, Truth: truth}})
	if err != nil {
		t.Fatal(err)
	}
	return rewards[0]
}

func TestMath(t *testing.T) {
	for _, c := range []struct {
		text, truth string
		want        float64
	}{
		{`\boxed{4}`, `4`, 1},
		{`first \boxed{3}, no: \boxed{4}.`, `4`, 1},
		{`\boxed{4} then \boxed{5`, `4`, 1}, // the last is not closed
		{`\boxed{\frac{3}{4}}`, `3/4`, 1},
		{`\boxed{\frac{3}{4}}`, `\boxed{\frac{3}{5}}`, 0},
		{`\boxed{\dfrac{1}{2}}`, `0.5`, 1},
		{`\boxed{\frac12}`, `0.50`, 1},
		{`\boxed{-\frac{1}{2}}`, `-.5`, 1},
		{`\boxed{\frac{-1}{2}}`, `-0.5`, 1},
		{`\boxed{1/3}`, `0.333333`, 0}, // exact, not near
		{`\boxed{1/3}`, `2/6`, 1},
		{`\boxed{1,234,567}`, `1234567.0`, 1},
		{`\boxed{1{,}234}`, `1234`, 1},
		{`\boxed{1,2}`, `12`, 0}, // a pair
		{`\boxed{−4}`, `-4`, 1},
		{`\boxed{ $\left( 1, 2 \right)$ }`, `(1,2)`, 1},
		{`\boxed{\text{yes}}`, `\text{yes}`, 1},
		{`\boxed{\{1\}}`, `\{1\}`, 1},
		{`\boxed{1/0}`, `1/0`, 1}, // the same text, though no number
		{`\boxed{1/0}`, `2/0`, 0},
		{`\boxed{}`, `\boxed{}`, 0},
		{``, ``, 0},
		{"so\n#### 72", "Natalia sold 48/2 = 24 clips.\n#### 72", 1},
		{"#### 71\nno\n#### 1,072", "#### 1072", 1},
		{"# Answer\n42\nDone.", "42", 1},
		{`72`, "#### 72", 1},
		{`The answer is 72.`, "#### 72", 0},
		{`\boxed{1e3}`, `1000`, 0}, // e may be a name
		{`\boxed{007}`, `7`, 1},
		{`\boxed{四}`, `四`, 1},
	} {
		if got := mathReward(t, c.text, c.truth); got != c.want {
			t.Errorf("%q against %q has the reward %g, want %g", c.text, c.truth, got, c.want)
		}
	}
}

// TestMathVectors compares with ms-swift's math reward where that has no trap: it
// cuts nested braces, takes the first box, lets an empty answer equal another, and
// reads neither units nor percents.
func TestMathVectors(t *testing.T) {
	other := map[string]string{
		"nested_box_vs_plain": "nested braces are kept whole", "frac_vs_decimal": "nested braces are kept whole", "frac_vs_slash": "nested braces are kept whole",
		"frac_same_numerator_wrong_denominator": "nested braces are kept whole", "dfrac": "nested braces are kept whole",
		"two_boxes_first": "the last box counts", "answer_header_twice": "the last header counts", "empty_both": "empty equals none", "empty_box": "empty equals none",
		"unicode_minus": "a minus is a minus", "interval": "spaces do not count", "percent": "a percent is a hundredth", "degree": "degrees are a unit", "text_unit": "units do not count",
	}
	var v struct {
		Inputs []struct {
			ID, Prediction string
			Truth          string `json:"ground_truth"`
		}
		Expected []float64
	}
	vectors(t, "orm_math.json", &v)
	for i, c := range v.Inputs {
		got, want := mathReward(t, c.Prediction, c.Truth), v.Expected[i]
		if reason, ok := other[c.ID]; ok {
			want = 1 - want
			if got != want {
				t.Errorf("%s is as in ms-swift, though %s", c.ID, reason)
			}
		} else if got != want {
			t.Errorf("%s: %g, want %g", c.ID, got, want)
		}
	}
}

func TestAccuracyVectors(t *testing.T) {
	var v struct {
		Inputs   []struct{ ID, Completion, Solution string }
		Expected []float64
	}
	vectors(t, "orm_accuracy.json", &v)
	for i, c := range v.Inputs {
		if got := accuracyOf(t, c.Completion, c.Solution); got != v.Expected[i] {
			t.Errorf("%s: %g, want %g", c.ID, got, v.Expected[i])
		}
	}
}

// readJudgements reads pairs of a right answer and an answer, and what Math-Verify makes of them.
func readJudgements(t *testing.T, path string) []judgement {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("needs the shared vectors beside the repository: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []judgement
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var j judgement
		if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
			t.Fatal(err)
		}
		all = append(all, j)
	}
	return all
}

type judgement struct {
	Kind, Solution, Completion string
	Reward                     float64
	Test, Gold, Pred           string
	Expected                   float64
}

// TestAccuracyJudged compares the ORM accuracy with ms-swift's over 2,844 answers.
// The kinds of those that it alone rewards say what ms-swift's way of calling
// Math-Verify cannot read, which is no part of the rule.
func TestAccuracyJudged(t *testing.T) {
	all := readJudgements(t, "../../../shared/vectors/math-equality/swift_accuracy_golden.jsonl")
	misses := map[string]int{}
	right := 0
	for _, j := range all {
		got := accuracyOf(t, j.Completion, j.Solution)
		if got == j.Reward {
			right++
			continue
		}
		kind := "a wrong answer is rewarded, or a right one not"
		for _, k := range unreadable {
			if got == 1 && k.pattern.MatchString(resultPart(j.Completion)) {
				kind = k.name
				break
			}
		}
		misses[kind]++
		t.Logf("%s: %g, want %g: %q against %q", kind, got, j.Reward, resultPart(j.Completion), resultPart(j.Solution))
	}
	t.Logf("%d of %d, %.2f %%; the others: %v", right, len(all), 100*float64(right)/float64(len(all)), misses)
	if 1000*right < 990*len(all) || len(misses) > len(unreadable) {
		t.Error("want 99 %, and only right answers that ms-swift does not read among the others")
	}
}

// unreadable has what ms-swift does not read in an answer without a tag.
var unreadable = []struct {
	name    string
	pattern *regexp.Regexp
}{
	{"\\sqrt and \\frac without braces", regexp.MustCompile(`\\(?:sqrt|frac) ?\d`)},
	{"a text in a box in a formula, taken for a unit", regexp.MustCompile(`\\boxed\{\\text\{[^}]*\}\}\$`)},
	{"a union in a box in a formula", regexp.MustCompile(`\\boxed\{.*\\cup`)},
	{"a full stop in a formula", regexp.MustCompile(`\.\}$|\.\n\\\]`)},
}

// TestMathVerifyCases compares it with the cases of Math-Verify's own tests. Most of
// the others are of other settings of Math-Verify: of the kinds of text it reads, of
// the places of decimals, of names that may differ. The seven of
// test_string_extraction are right as they are here: Math-Verify's test wants 1, and
// the file has 0.
func TestMathVerifyCases(t *testing.T) {
	all := readJudgements(t, "../../../shared/vectors/math-equality/math_verify_cases.jsonl")
	misses := map[string]int{}
	right := 0
	for _, j := range all {
		got := accuracyOf(t, "<answer>"+j.Pred+"</answer>", j.Gold)
		if got == j.Expected {
			right++
			continue
		}
		misses[j.Test]++
		t.Logf("%s: %g, want %g: %q against %q", j.Test, got, j.Expected, resultPart(j.Pred), resultPart(j.Gold))
	}
	t.Logf("%d of %d, %.2f %%; the others: %v", right, len(all), 100*float64(right)/float64(len(all)), misses)
	if 1000*right < 940*len(all) {
		t.Error("want 94 %")
	}
}

// TestMathVerifyShortCases has those that are short and of these settings.
func TestMathVerifyShortCases(t *testing.T) {
	var all []judgement
	vectors(t, "math_verify_cases.json", &all)
	for _, j := range all {
		if got := accuracyOf(t, "<answer>"+j.Pred+"</answer>", j.Gold); got != j.Expected {
			t.Errorf("%s: %g, want %g: %q against %q", j.Test, got, j.Expected, j.Pred, j.Gold)
		}
	}
}

// TestResultOf has where the result of an answer is found.
func TestResultOf(t *testing.T) {
	for _, c := range []struct{ text, any, anchored string }{
		{`$x=1$, so the final answer is $2$. I hope it is correct. \boxed{3}`, "2", "3"},
		{`The final answer, I think, is: $2$. $3$`, "2", "2"},
		{`\boxed{2} and $3$`, "2", "2"},
		{`first \boxed{1}, then much later, as was to be shown here at length, \boxed{2}.`, "1,2", "1,2"},
		{`first \boxed{1} then much later, as was to be shown here at length and so on to the very end of it all \boxed{2}.`, "2", "2"},
		{`\boxed{1} no no no no no \boxed{2}`, "2", "2"},
		{`\boxed{1}\boxed{2}`, "1,2", "1,2"},
		{`$\boxed{1}$ and $\boxed{2}$`, "1 and 2", `\boxed{1} and \boxed{2}`},
		{`Answer: $5$ of $6$`, "5", "5"},
		{`my answer would be $5$ here`, "5", "5"},
		{`so $5$ or \(6\)`, "5 and 6", ""},
		{`so \[5\] percent`, "5", ""},
		{`it is 1,234 or so`, "1234", ""},
		{`a total of 2 + 3 `, "2 + 3", ""},
		{`12 = 12`, "12", ""},
		{`so $5$ and `, "5", ""},
		{`the answer: $5$,`, "5", "5"},
		{`the final answer is`, "", ""},
		{`X2Y`, "", ""},
		{``, "", ""},
		{`price: \$5`, "", ""},
		{`costs $5`, "5", ""},
		{`\boxed{1`, "", ""},
	} {
		any, _ := resultOf(c.text)
		anchored, _ := anchoredResultOf(c.text)
		if any.text != c.any || anchored.text != c.anchored {
			t.Errorf("%q: %q and, anchored, %q; want %q and %q", c.text, any.text, anchored.text, c.any, c.anchored)
		}
	}
}

// resultPart is the last part of a text, where its result is.
func resultPart(s string) string { return s[max(0, len(s)-100):] }

// completionOf is an answer to a question with a solution.
func completionOf(text, solution string) api.Completion {
	return api.Completion{Text: text, Row: map[string]any{"solution": solution}}
}

func accuracyOf(t *testing.T, text, solution string) float64 {
	t.Helper()
	orm, err := newAccuracy(own("accuracy", nil))
	if err != nil {
		t.Fatal(err)
	}
	rewards, err := orm.Score(context.Background(), []api.Completion{completionOf(text, solution)})
	if err != nil {
		t.Fatal(err)
	}
	return rewards[0]
}
