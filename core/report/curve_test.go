package report

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/plot/plotter"
)

// Against the definition: an average with weights 0.9^age.
func TestSmooth(t *testing.T) {
	points := plotter.XYs{{X: 1, Y: 4}, {X: 2, Y: 2}, {X: 5, Y: -3}, {X: 6, Y: 10}}
	got := smooth(points, 0.9)
	for i := range points {
		var sum, weights float64
		for j := range i + 1 {
			w := math.Pow(0.9, float64(i-j))
			sum, weights = sum+w*points[j].Y, weights+w
		}
		if got[i].X != points[i].X || math.Abs(got[i].Y-sum/weights) > 1e-12 {
			t.Errorf("point %d is %v, want %v", i, got[i], sum/weights)
		}
	}
	if points[1].Y != 2 {
		t.Error("smooth changed its argument")
	}
}

// count returns how many pixels have exactly the colour c.
func count(img image.Image, c color.RGBA) int {
	n := 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if color.RGBAModel.Convert(img.At(x, y)) == c {
				n++
			}
		}
	}
	return n
}

func TestImages(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, Options{MaxSteps: 60})
	for step := 1; step <= 60; step++ {
		x := float64(step)
		r.Log(step, map[string]float64{
			"loss": 0.7 + 2*math.Exp(-x/15) + 0.3*math.Sin(x*12.9898), "learning_rate": 1e-4 * (1 - x/60), "grad_norm": 1e-3, "epoch": x,
		})
	}
	r.Log(60, map[string]float64{"eval_loss": 0.8, "eval_a/b c": 0.5, "eval_nan": math.NaN()})
	if err := r.Close(map[string]any{"bad": func() {}}); err == nil {
		t.Error("a summary that is no JSON was taken")
	}
	entries, err := os.ReadDir(filepath.Join(dir, "images"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		text, err := os.ReadFile(filepath.Join(dir, "images", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", e.Name(), err)
		}
		if img.Bounds().Dx() != 1200 || img.Bounds().Dy() != 750 {
			t.Errorf("%s is %v", e.Name(), img.Bounds())
		}
		if count(img, strong) < 60 {
			t.Errorf("%s has no curve", e.Name())
		}
		if hasPale := count(img, pale) > 300; hasPale != (e.Name() == "train_loss.png") {
			t.Errorf("%s: a pale curve: %v", e.Name(), hasPale)
		}
	}
	want := []string{"eval_a_b_c.png", "eval_loss.png", "train_grad_norm.png", "train_learning_rate.png", "train_loss.png"}
	if len(names) != len(want) {
		t.Fatalf("images %q, want %q", names, want)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Errorf("image %q, want %q", names[i], want[i])
		}
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		least, low, high float64
		want             string
	}{
		{1, 5, 400, "50 100 150 200 250 300 350 400"},
		{1, 1, 3, "1 2 3"},
		{0, 0.9, 1.24, "0.90 0.95 1.00 1.05 1.10 1.15 1.20"},
		{0, 0, 1e-4, "0 2e-05 4e-05 6e-05 8e-05 0.0001"},
		{0, -3e7, 2e7, "-3e+07 -2e+07 -1e+07 0 1e+07 2e+07"},
	} {
		var got []string
		for _, tick := range ticks(c.least).Ticks(c.low, c.high) {
			got = append(got, tick.Label)
			if v, err := strconv.ParseFloat(tick.Label, 64); err != nil || math.Abs(v-tick.Value) > (c.high-c.low)*1e-9 {
				t.Errorf("the tick at %v is labelled %s", tick.Value, tick.Label)
			}
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("from %v to %v: %s, want %s", c.low, c.high, got, c.want)
		}
	}
}

// A run that went wrong still has its pictures.
func TestCurveExtremes(t *testing.T) {
	for _, y := range [][]float64{{0}, {0, 0}, {-5}, {math.MaxFloat64, -math.MaxFloat64}, {1e300, math.Nextafter(1e300, 0)}, {5e-324, 0}, {1, math.Nextafter(1, 2)}, {math.MaxFloat64}} {
		var points plotter.XYs
		for i, v := range y {
			points = append(points, plotter.XY{X: float64(i), Y: v})
		}
		text, err := curve(tag("loss"), points)
		if err != nil {
			t.Errorf("%v: %v", y, err)
		}
		if _, err := png.Decode(bytes.NewReader(text)); err != nil {
			t.Errorf("%v: %v", y, err)
		}
	}
}
