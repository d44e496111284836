package builtin

import (
	"cmp"
	"math"
	"slices"

	"swiftgo/api"
)

// infoNCEMetric measures how near queries are to their positive documents and to
// the others, by the product of their states: mean_pos, mean_neg, and margin, the
// mean of how much nearer the positive document is than the nearest other. It has
// the settings of the loss, of which it heeds use_batch and hard_negatives.
type infoNCEMetric struct {
	*infoNCE
	queries []vector
	docs    [][]vector // of each query, the positive one first
}

type vector []float64

func newInfoNCEMetric(args *api.Args) (api.Metric, error) {
	n, err := infoNCESettings(args)
	if err != nil {
		return nil, err
	}
	return &infoNCEMetric{infoNCE: n}, nil
}

// Add keeps the states of a batch, for all documents of the evaluation are
// compared.
func (m *infoNCEMetric) Add(out *api.Output, b *api.Batch) error {
	e, err := newEmbeddings(out, b)
	if err != nil {
		return err
	}
	if err := m.choose(e); err != nil {
		return err
	}
	all := vectorsOf(e.states)
	for _, g := range e.groups {
		m.queries = append(m.queries, all[g.query])
		var docs []vector
		for _, k := range e.docs[g.from:g.to] {
			docs = append(docs, all[k])
		}
		m.docs = append(m.docs, docs)
	}
	return nil
}

// Result leaves out what there is nothing to measure of.
func (m *infoNCEMetric) Result() (map[string]float64, error) {
	var positive, negative, margin average
	for i, q := range m.queries {
		own := dot(q, m.docs[i][0])
		positive.add(own)
		nearest := math.Inf(-1)
		for k, docs := range m.docs {
			if k != i && !m.UseBatch {
				continue
			}
			for j, d := range docs {
				if k != i || j > 0 {
					x := dot(q, d)
					negative.add(x)
					nearest = max(nearest, x)
				}
			}
		}
		if !math.IsInf(nearest, -1) {
			margin.add(own - nearest)
		}
	}
	result := map[string]float64{}
	for name, a := range map[string]average{"mean_pos": positive, "mean_neg": negative, "margin": margin} {
		if a.n > 0 {
			result[name] = a.sum / a.n
		}
	}
	return result, nil
}

// average is a sum and the number of its terms.
type average struct{ sum, n float64 }

func (a *average) add(x float64) { a.sum, a.n = a.sum+x, a.n+1 }

// vectorsOf returns a copy of the rows of v.
func vectorsOf(v *api.Var) []vector {
	rows := make([]vector, v.Shape()[0])
	dim := v.Shape()[1]
	for i := range rows {
		for _, x := range v.Data()[i*dim : (i+1)*dim] {
			rows[i] = append(rows[i], float64(x))
		}
	}
	return rows
}

func dot(v, w vector) float64 {
	sum := 0.0
	for i := range v {
		sum += v[i] * w[i]
	}
	return sum
}

// paired measures how well the nearness of pairs goes with their labels, by the
// correlations of Pearson and Spearman with four measures of nearness.
type paired struct {
	labels []float64
	near   [4][]float64 // in the order of nearness
}

var nearness = []struct {
	name string
	of   func(v, w vector) float64
}{
	{"cosine", func(v, w vector) float64 { return dot(v, w) / math.Sqrt(dot(v, v)*dot(w, w)) }},
	{"euclidean", func(v, w vector) float64 { return -distance(v, w, func(d float64) float64 { return d * d }, math.Sqrt) }},
	{"manhattan", func(v, w vector) float64 { return -distance(v, w, math.Abs, func(x float64) float64 { return x }) }},
	{"dot_product", dot},
}

func distance(v, w vector, part, whole func(float64) float64) float64 {
	sum := 0.0
	for i := range v {
		sum += part(v[i] - w[i])
	}
	return whole(sum)
}

func newPaired(args *api.Args) (api.Metric, error) { return &paired{}, args.Decode(&none{}) }

// Add takes in the pairs of a batch.
func (p *paired) Add(out *api.Output, b *api.Batch) error {
	e, err := newEmbeddings(out, b)
	if err != nil {
		return err
	}
	queries, docs, err := e.pairs()
	if err != nil {
		return err
	}
	v, w := vectorsOf(queries), vectorsOf(docs)
	for i := range v {
		for k, n := range nearness {
			p.near[k] = append(p.near[k], n.of(v[i], w[i]))
		}
	}
	p.labels = append(p.labels, e.labels...)
	return nil
}

// Result returns the eight correlations. One that is not defined, of fewer than
// two pairs or where one side is always the same, is left out.
func (p *paired) Result() (map[string]float64, error) {
	result := map[string]float64{}
	for k, n := range nearness {
		for name, x := range map[string]float64{"pearson_": pearson(p.labels, p.near[k]), "spearman_": pearson(ranks(p.labels), ranks(p.near[k]))} {
			if !math.IsNaN(x) {
				result[name+n.name] = x
			}
		}
	}
	return result, nil
}

// pearson returns the correlation of x and y, NaN where there is none.
func pearson(x, y []float64) float64 {
	mx, my := mean(x), mean(y)
	var xx, yy, xy float64
	for i := range x {
		dx, dy := x[i]-mx, y[i]-my
		xx, yy, xy = xx+dx*dx, yy+dy*dy, xy+dx*dy
	}
	return max(-1, min(1, xy/(math.Sqrt(xx)*math.Sqrt(yy))))
}

// ranks returns the place of each element in the order of their size; equals
// share the mean of theirs.
func ranks(xs []float64) []float64 {
	order := make([]int, len(xs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(xs[a], xs[b]) })
	out := make([]float64, len(xs))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && xs[order[to]] == xs[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			out[i] = float64(from+to-1) / 2
		}
		from = to
	}
	return out
}
