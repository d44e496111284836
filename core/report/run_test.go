package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, dir string, o Options) *Run {
	t.Helper()
	r, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func lines(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "logging.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		t.Errorf("the log ends without a newline: %q", text)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// keysInOrder reads an object by tokens: a map would lose the order.
func keysInOrder(t *testing.T, text string) []string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.Token()
	var keys []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		keys = append(keys, key.(string))
		if _, err := d.Token(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return keys
}

func TestLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	var out bytes.Buffer
	r := open(t, dir, Options{MaxSteps: 100, Out: &out})
	r.Step(5, 1.5, 100)
	if out.Len() != 0 {
		t.Errorf("off a terminal a step printed %q", &out)
	}
	r.Log(5, map[string]float64{
		"epoch": 0.25, "tokens/s": 153.5, "loss": 1.2345678949, "zeta": 1, "learning_rate": 1e-5, "alpha \"quoted\"": math.Inf(1),
		"grad_norm": math.NaN(), "token_acc": 2.0 / 3, "memory(GiB)": -1,
	})
	r.Log(5, map[string]float64{"eval_loss": 0.5, "epoch": 0.25})
	got := lines(t, dir)
	want := []string{"loss", "grad_norm", "learning_rate", "token_acc", "epoch", "alpha \"quoted\"", "zeta",
		"global_step/max_steps", "elapsed_time", "remaining_time", "memory(GiB)", "train_speed(s/it)", "tokens/s"}
	if keys := keysInOrder(t, got[0]); !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
	want = []string{"epoch", "eval_loss", "global_step/max_steps", "elapsed_time", "remaining_time", "memory(GiB)", "train_speed(s/it)"}
	if keys := keysInOrder(t, got[1]); !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(got[0]), &v); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"loss": 1.23456789, "token_acc": 0.66666667, "learning_rate": 1e-5, "epoch": 0.25,
		"tokens/s": 153.5, "grad_norm": nil, "alpha \"quoted\"": nil, "global_step/max_steps": "5/100"} {
		if v[key] != want {
			t.Errorf("%s: %v, want %v", key, v[key], want)
		}
	}
	if memory, _ := v["memory(GiB)"].(float64); memory < 0.001 || memory > 64 {
		t.Errorf("memory %v GiB", v["memory(GiB)"])
	}
	printed := strings.Split(out.String(), "\n")
	if want := regexp.MustCompile(`^5/100  loss 1\.2346  grad_norm NaN  .*tokens/s 153\.5  elapsed 0s  left 0s$`); !want.MatchString(printed[0]) {
		t.Errorf("printed %q", printed[0])
	}
	if err := r.Close(map[string]any{"global_step": 5, "best_metric": (*float64)(nil), "x": math.NaN(), "note": "done"}); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, dir); len(got) != 3 || got[2] != `{"best_metric":null,"global_step":5,"note":"done","x":null}` {
		t.Errorf("the log after Close: %q", got)
	}
}

// A resumed run took no time for the steps before it.
func TestTimes(t *testing.T) {
	r := &Run{opts: Options{MaxSteps: 100, StartStep: 20}}
	l := r.line(30, 100*time.Second, nil)
	if l[keyElapsed] != "1m 40s" || l[keyRemaining] != "11m 40s" || l[keySpeed] != 10.0 {
		t.Errorf("after 10 of 80 steps in 100 s: %v", l)
	}
	// An evaluation before the first step.
	l = r.line(20, time.Second, nil)
	if _, ok := l[keyRemaining]; ok || l[keySpeed] != nil {
		t.Errorf("without a step: %v", l)
	}
}

func TestFormatTime(t *testing.T) {
	for _, path := range []string{"testdata/util_format_time.json", "../../../shared/vectors/extensions/util_format_time.json"} {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil && !strings.HasPrefix(path, "testdata") {
				t.Skip("needs the shared vectors beside the repository: ", err)
			}
			var v struct {
				Inputs   []float64
				Expected []string
			}
			if err := json.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			if len(v.Inputs) == 0 || len(v.Inputs) != len(v.Expected) {
				t.Fatalf("%d inputs, %d expected", len(v.Inputs), len(v.Expected))
			}
			for i, seconds := range v.Inputs {
				if got := FormatTime(time.Duration(seconds * float64(time.Second))); got != v.Expected[i] {
					t.Errorf("%v s: %q, want %q", seconds, got, v.Expected[i])
				}
			}
		})
	}
}

func TestResume(t *testing.T) {
	dir := t.TempDir()
	log := func(r *Run, step int, loss float64) {
		r.Log(step, map[string]float64{"loss": loss, "tokens/s": 7})
	}
	first := open(t, dir, Options{MaxSteps: 50, TensorBoard: true})
	for step := 10; step <= 40; step += 10 {
		log(first, step, float64(step))
	}
	first.Log(20, map[string]float64{"eval_loss": 3})
	first.Close(map[string]any{"interrupted": true})
	// And what a kill in the middle of a write would leave.
	path := filepath.Join(dir, "logging.jsonl")
	text, _ := os.ReadFile(path)
	os.WriteFile(path, append(text, `{"loss":1,"global_step/max_st`...), 0o644)

	second := open(t, dir, Options{MaxSteps: 50, StartStep: 20, TensorBoard: true})
	log(second, 30, 300)
	log(second, 50, 500)
	if err := second.Close(map[string]any{"end": true}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, text := range lines(t, dir) {
		var l map[string]any
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got = append(got, fmt.Sprint(l["global_step/max_steps"], " ", l["loss"]))
	}
	want := []string{"10/50 10", "20/50 20", "20/50 <nil>", "30/50 300", "50/50 500", "<nil> <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("log %q, want %q", got, want)
	}
	if got := fmt.Sprint(second.history); got != "map[eval/loss:[{20 3}] train/loss:[{10 10} {20 20} {30 300} {50 500}] train/tokens/s:[{10 7} {20 7} {30 7} {50 7}]]" {
		t.Errorf("the curves' points: %s", got)
	}
	if s := second.Summary(); s.Steps != 50 || s.MaxSteps != 50 || s.TokensPerSecond != 7 || s.Curve != filepath.Join(dir, "images", "train_loss.png") {
		t.Errorf("summary %+v", s)
	}

	// A run that begins anew in the same directory has a log of its own.
	third := open(t, dir, Options{MaxSteps: 50})
	log(third, 10, 1)
	if got := lines(t, dir); len(got) != 1 || !strings.Contains(got[0], `"10/50"`) {
		t.Errorf("a new run's log: %q", got)
	}
}

func TestNoLine(t *testing.T) {
	for _, text := range []string{"", "{}", "null", "[1]", "5", `{"global_step/max_steps":5}`, `{"global_step/max_steps":"x/5"}`, `{"global_step/max_steps":"/"}`, "\x00"} {
		if _, _, ok := parseLine([]byte(text)); ok {
			t.Errorf("%q is taken for a line", text)
		}
	}
}

// What a line says is what parseLine reads, whatever the values' names.
func FuzzLine(f *testing.F) {
	f.Add(3, "loss", 1.5, "eval_<b>\n", -1e-9)
	f.Add(0, "tokens/s", 1e300, "", 0.1)
	f.Fuzz(func(t *testing.T, step int, key string, value float64, key2 string, value2 float64) {
		r := &Run{opts: Options{MaxSteps: 9}}
		values := map[string]float64{key: value, key2: value2}
		text := r.line(step, time.Second, values).json()
		if !json.Valid(text) || bytes.Count(text, []byte("\n")) != 1 {
			t.Fatalf("not one line of JSON: %q", text)
		}
		at, got, ok := parseLine(text)
		if !ok || at != step {
			t.Fatalf("%q: step %d, %v", text, at, ok)
		}
		for key, v := range values {
			if !given(key) || !finite(v) || strings.ToValidUTF8(key, "?") != key {
				continue
			}
			if d := math.Abs(got[key] - v); d > 0.51e-8 && d > 1e-15*math.Abs(v) {
				t.Fatalf("%q: %v, want %v", key, got[key], v)
			}
		}
	})
}

// TestKilled kills a process that logs as fast as it can.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("REPORT_LOG_UNTIL_KILLED"); dir != "" {
		r := open(t, dir, Options{MaxSteps: 1 << 30})
		for step := 1; ; step++ {
			r.Log(step, map[string]float64{"loss": 1 / float64(step)})
			if step == 200 {
				fmt.Println("logged 200")
			}
		}
	}
	dir := t.TempDir()
	c := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	c.Env = append(os.Environ(), "REPORT_LOG_UNTIL_KILLED="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal("the child logged nothing: ", err)
	}
	c.Process.Kill()
	c.Wait()
	got := lines(t, dir)
	if len(got) < 200 {
		t.Errorf("%d lines are left of more than 200", len(got))
	}
	for i, text := range got {
		if step, values, ok := parseLine([]byte(text)); !ok || step != i+1 || math.Abs(values["loss"]-1/float64(step)) > 1e-8 {
			t.Fatalf("line %d is %q", i+1, text)
		}
	}
}

// TestFull has the disk full for two lines, which are there when it no longer is.
func TestFull(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("needs /dev/full: ", err)
	}
	dir := t.TempDir()
	r := open(t, dir, Options{MaxSteps: 4})
	disk := r.log.file
	for step := 1; step <= 4; step++ {
		if r.log.file = disk; step == 2 || step == 3 {
			r.log.file = full
		}
		r.Log(step, map[string]float64{"loss": float64(step)})
	}
	for i, text := range lines(t, dir) {
		if step, _, ok := parseLine([]byte(text)); !ok || step != i+1 || i > 3 {
			t.Errorf("line %d is %q", i+1, text)
		}
	}
	r.log.file = full
	if err := r.Close(nil); !errors.Is(err, syscall.ENOSPC) || len(lines(t, dir)) != 4 {
		t.Errorf("%v with %d lines", err, len(lines(t, dir)))
	}
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	os.WriteFile(file, nil, 0o644)
	if _, err := Open(file, Options{}); err == nil || !strings.HasPrefix(err.Error(), "run directory: ") {
		t.Errorf("a file for a directory: %v", err)
	}
	os.Mkdir(filepath.Join(dir, "logging.jsonl"), 0o755)
	if _, err := Open(dir, Options{StartStep: 1}); err == nil || !strings.HasPrefix(err.Error(), "the run's log: ") {
		t.Errorf("a directory for a log: %v", err)
	}
}

// The bar is overwritten in place; what a person sees are the last writes of
// every line.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, true, 10, 4)
	s.show(5, 1.23456, 99.96, 65*time.Second)
	s.print("5/10  loss 1.23")
	s.show(10, 0.5, math.NaN(), 0)
	s.print("10/10  eval_loss 0.4")
	s.end()
	got := seen(out.String())
	want := []string{
		`^5/10  loss 1\.23$`,
		`^10/10  eval_loss 0\.4$`,
		`^ 100% \|█+\| \(10/10\) loss 0\.5, 0s left$`,
		`^$`,
	}
	if len(got) != len(want) {
		t.Fatalf("seen %q", got)
	}
	for i := range want {
		if !regexp.MustCompile(want[i]).MatchString(got[i]) {
			t.Errorf("line %d is %q, want %s", i, got[i], want[i])
		}
	}
	if !strings.Contains(out.String(), "(5/10) loss 1.235, 100.0 tok/s, 1m 5s left") {
		t.Errorf("no bar of step 5 in %q", &out)
	}
	newScreen(io.Discard, true, 0, 0).show(1, 1, 1, 0) // a run without a step
}

// seen returns the lines that a terminal shows after text.
func seen(text string) []string {
	var all []string
	for _, written := range strings.Split(text, "\n") {
		var cells []rune
		at := 0
		for _, r := range written {
			if r == '\r' {
				at = 0
				continue
			}
			if at == len(cells) {
				cells = append(cells, ' ')
			}
			cells[at] = r
			at++
		}
		all = append(all, strings.TrimRight(string(cells), " "))
	}
	return all
}

func TestPrintSummary(t *testing.T) {
	var out bytes.Buffer
	best := 1.23456789
	PrintSummary(&out, Summary{Steps: 90, MaxSteps: 100, Elapsed: 61 * time.Second, TokensPerSecond: 12.34, MetricName: "eval_loss", BestMetric: &best,
		BestCheckpoint: "run/checkpoint-60", LastCheckpoint: "run/checkpoint-90", Curve: "run/images/train_loss.png"})
	want := `steps      90 of 100 in 1m 1s, 12.3 tokens/s
best       eval_loss 1.2346  run/checkpoint-60
last       run/checkpoint-90
loss curve run/images/train_loss.png
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", &out, want)
	}
	out.Reset()
	PrintSummary(&out, Summary{})
	if got := out.String(); got != "steps      0 of 0 in 0s\n" {
		t.Errorf("of nothing: %q", got)
	}
}
