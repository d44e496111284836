package builtin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
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

// TestMathVectors compares with ms-swift's math reward where that has no trap:
// it cuts nested braces, takes the first box, lets an empty answer equal another,
// and has an algebra system.
func TestMathVectors(t *testing.T) {
	other := map[string]string{
		"nested_box_vs_plain": "nested braces are kept whole", "frac_vs_decimal": "fractions are decimals", "frac_vs_slash": "fractions are slashes",
		"two_boxes_first": "the last box counts", "empty_both": "empty equals none", "empty_box": "empty equals none", "answer_header_twice": "the last header counts",
		"unicode_minus": "a minus is a minus", "dfrac": "fractions are alike", "trig": "no algebra", "pow_brace": "no algebra",
		"interval": "spaces do not count", "frac_same_numerator_wrong_denominator": "nested braces are kept whole",
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

// TestMathJudged counts the agreement over 2,844 answers that Math-Verify has
// judged. It misses what needs algebra. The 39 to which it alone gives a reward
// are the same to the eye as the truth, which Math-Verify could not read.
func TestMathJudged(t *testing.T) {
	const path = "../../../shared/vectors/math-equality/swift_accuracy_golden.jsonl"
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the judged answers are not here: ", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var generous, right int
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c struct {
			Solution, Completion string
			Reward               float64
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		switch got := mathReward(t, c.Completion, c.Solution); {
		case got > c.Reward:
			generous++
			t.Logf("only here: %q against %q", mathResult(c.Completion), mathResult(c.Solution))
		case got == 1:
			right++
		}
	}
	if generous > 39 || right < 1551 {
		t.Errorf("%d rewards as Math-Verify gives them, want 1551 or more; %d that it does not give, want 39 or less", right, generous)
	}
}
