package report

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
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
