package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// smoothing is how much of the past the smoothed curve of the loss keeps.
const smoothing = 0.9

var (
	strong = color.RGBA{R: 0xff, G: 0x70, B: 0x43, A: 0xff}
	pale   = color.RGBA{R: 0xff, G: 0xd0, B: 0xc0, A: 0xff}
	grey   = color.RGBA{R: 0x60, G: 0x60, B: 0x60, A: 0xff}
	faint  = color.RGBA{R: 0xe8, G: 0xe8, B: 0xe8, A: 0xff}
)

// history holds the points of every curve by its TensorBoard tag.
type history map[string]plotter.XYs

// add adds what was logged at step. The epoch is no curve, and what is not
// finite leaves a gap.
func (h history) add(step int, values map[string]float64) {
	for key, v := range values {
		if key != "epoch" && finite(v) {
			h[tag(key)] = append(h[tag(key)], plotter.XY{X: float64(step), Y: v})
		}
	}
}

// draw writes one picture a curve to dir.
func (h history) draw(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for tag, points := range h {
		picture, err := curve(tag, points)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, imageName(tag)), picture, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// imageName returns the file name of the picture of a tag: train_loss.png for train/loss.
func imageName(tag string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>| `, r) || r < ' ' {
			return '_'
		}
		return r
	}, tag) + ".png"
}

// curve returns the picture of points as a PNG. The curve of the training loss,
// which is noisy, is pale, with a smoothed one above it.
func curve(name string, points plotter.XYs) ([]byte, error) {
	p := plot.New()
	p.Title.Text = name
	p.X.Label.Text = "step"
	_, p.Y.Label.Text, _ = strings.Cut(name, "/")
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks(1), ticks(0)
	style(p)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = faint, faint
	p.Add(grid)

	if len(points) == 1 {
		dot, err := plotter.NewScatter(points)
		if err != nil {
			return nil, err
		}
		dot.GlyphStyle = draw.GlyphStyle{Color: strong, Radius: vg.Points(4), Shape: draw.CircleGlyph{}}
		p.Add(dot)
	} else {
		raw, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		raw.Width, raw.Color = vg.Points(2), strong
		p.Add(raw)
		if name == tag("loss") {
			over, err := plotter.NewLine(smooth(points, smoothing))
			if err != nil {
				return nil, err
			}
			raw.Width, raw.Color = vg.Points(1.5), pale
			over.Width, over.Color = vg.Points(2), strong
			p.Add(over)
			p.Legend.Add("logged", raw)
			p.Legend.Add(fmt.Sprintf("smoothed %g", smoothing), over)
		}
	}
	widen(&p.X, 1)
	widen(&p.Y, math.Abs(p.Y.Max))

	canvas := vgimg.NewWith(vgimg.UseWH(8*vg.Inch, 5*vg.Inch), vgimg.UseDPI(150))
	p.Draw(draw.Crop(draw.New(canvas), vg.Points(8), -vg.Points(16), vg.Points(8), -vg.Points(8)))
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// smooth returns points with the exponential moving average of TensorBoard,
// which does not start from zero but from the first value.
func smooth(points plotter.XYs, weight float64) plotter.XYs {
	out := slices.Clone(points)
	sum, norm := 0.0, 0.0
	for i, p := range points {
		sum = sum*weight + p.Y
		norm = norm*weight + 1
		out[i].Y = sum / norm
	}
	return out
}

// style gives p its type and lines.
func style(p *plot.Plot) {
	p.Title.TextStyle.Font.Size = vg.Points(15)
	p.Title.TextStyle.Font.Variant = "Sans"
	p.Title.Padding = vg.Points(8)
	p.Legend.Top = true
	p.Legend.TextStyle.Font.Size = vg.Points(11)
	p.Legend.TextStyle.Font.Variant = "Sans"
	p.Legend.ThumbnailWidth = vg.Points(24)
	p.Legend.Padding = vg.Points(2)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size = vg.Points(13)
		axis.Label.TextStyle.Font.Variant = "Sans"
		axis.Label.Padding = vg.Points(4)
		axis.Tick.Label.Font.Size = vg.Points(11)
		axis.Tick.Label.Font.Variant = "Sans"
		axis.LineStyle.Color, axis.Tick.LineStyle.Color, axis.Tick.Label.Color = grey, grey, grey
		axis.Padding = vg.Points(6)
	}
}

// widen gives an axis on which all values are equal a range around them of the
// size of the value, so that the ticks can be told apart.
func widen(axis *plot.Axis, size float64) {
	if axis.Min < axis.Max {
		return
	}
	if size == 0 {
		size = 1
	}
	axis.Min, axis.Max = axis.Min-size/2, axis.Max+size/2
}

// ticks returns the marks of an axis: round numbers at least least apart, all
// with as many decimals as tell them apart.
func ticks(least float64) plot.TickerFunc {
	return func(low, high float64) []plot.Tick {
		const most = 8
		step := max((high-low)/most, least)
		exponent := math.Floor(math.Log10(step))
		unit := math.Pow(10, exponent)
		for _, times := range []float64{1, 2, 5, 10} {
			if times*unit >= step {
				step = times * unit
				break
			}
		}
		decimals := int(max(0, -math.Floor(math.Log10(step))))
		var all []plot.Tick
		for first, i := math.Ceil(low/step), 0; i <= most+1; i++ {
			v := (first + float64(i)) * step
			if !(v <= high) {
				break
			}
			label := strconv.FormatFloat(v, 'f', decimals, 64)
			if decimals > 4 || math.Abs(v) >= 1e7 {
				v, _ := strconv.ParseFloat(label, 64)
				label = strconv.FormatFloat(v, 'g', -1, 64)
			}
			all = append(all, plot.Tick{Value: v, Label: label})
		}
		return all
	}
}
