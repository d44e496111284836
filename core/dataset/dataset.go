// Package dataset reads the rows of files and hands them out as batches of
// tokens in an order that follows from a seed.
//
// Read [Open] and [Loader.Step] first. Files are cut into rows (source.go);
// each row is read in the layout its columns show (row.go, message.go, with
// python.go for the literals that Python programs leave in JSON); a Loader
// encodes the rows (encode.go) and makes batches of them (loader.go). A row
// that is wrong is left out and counted, unless Options.Strict.
package dataset

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"swiftgo/core/template"
)

// Row is one row of a file.
type Row struct {
	template.Conversation
	Source  string         // where it stands, such as train.jsonl:17
	Columns map[string]any // what else it holds, as JSON values
}

// Dataset is the rows of one or more files, in the order of the files.
type Dataset struct {
	rows    []Row
	dropped rejections
}

// Options say how files are read.
type Options struct {
	Seed        int64 // of the rows that path#n draws
	Strict      bool  // the first row that is wrong is an error
	Pretraining bool  // a line of a .txt file is a row
	Prompts     bool  // rows need no answer: they are for a model to answer
}

// Open reads files of rows, one after another. A spec is a path, or path#n for
// n rows drawn at random; if the file has fewer, they come more than once.
func Open(specs []string, o Options) (*Dataset, error) {
	d := &Dataset{}
	for i, spec := range specs {
		path, n, err := parseSpec(spec)
		if err != nil {
			return nil, err
		}
		var file Dataset
		if err := file.readFile(path, o); err != nil {
			return nil, err
		}
		if file.Len() == 0 {
			return nil, file.empty(path)
		}
		if n > 0 {
			file.rows = draw(file.rows, n, o.Seed, i)
		}
		d.rows = append(d.rows, file.rows...)
		d.dropped.addAll(file.dropped)
	}
	if len(d.rows) == 0 {
		return nil, errors.New("no dataset is named; want files of rows, .jsonl")
	}
	return d, nil
}

// draw returns n rows at random, all of them as often as fits and the rest
// once more.
func draw(rows []Row, n int, seed int64, file int) []Row {
	r := rand.New(rand.NewPCG(uint64(seed), uint64(file)))
	var out []Row
	for len(out) < n {
		for _, i := range r.Perm(len(rows)) {
			if len(out) < n {
				out = append(out, rows[i])
			}
		}
	}
	return out
}

func (d *Dataset) empty(path string) error {
	if len(d.dropped.count) == 0 {
		return fmt.Errorf("%s has no rows; want one JSON object a line", path)
	}
	return fmt.Errorf("%s has no row that can be used: %s; the first: %w", path, d.dropped, d.dropped.first)
}

// Len returns the number of rows.
func (d *Dataset) Len() int { return len(d.rows) }

// Row returns row i, for reading.
func (d *Dataset) Row(i int) *Row { return &d.rows[i] }

// Split sets apart a share of the rows, drawn at random, at least one.
func (d *Dataset) Split(ratio float64, seed int64) (train, val *Dataset, err error) {
	n := max(1, int(ratio*float64(len(d.rows))))
	if !(ratio > 0 && ratio < 1) || n >= len(d.rows) {
		return nil, nil, fmt.Errorf("cannot set apart %g of %d rows; want a share between 0 and 1 that leaves some to train on", ratio, len(d.rows))
	}
	held := make([]bool, len(d.rows))
	for _, i := range rand.New(rand.NewPCG(uint64(seed), splitStream)).Perm(len(d.rows))[:n] {
		held[i] = true
	}
	train, val = &Dataset{dropped: d.dropped}, &Dataset{}
	for i, row := range d.rows {
		if held[i] {
			val.rows = append(val.rows, row)
		} else {
			train.rows = append(train.rows, row)
		}
	}
	return train, val, nil
}

// splitStream keeps the draw of Split apart from those of epochs and files.
const splitStream = 1 << 32

// rejections counts the rows that are left out, by reason.
type rejections struct {
	count map[string]int
	first error
}

// reported is how many rows are named in the log.
const reported = 10

// add counts a row that is left out, and logs the first few.
func (r *rejections) add(reason string, err error) {
	if r.count == nil {
		r.count, r.first = map[string]int{}, err
	}
	if r.total() < reported {
		slog.Warn("row left out", "row", err)
	}
	r.count[reason]++
}

func (r *rejections) addAll(other rejections) {
	for reason, n := range other.count {
		if r.count == nil {
			r.count, r.first = map[string]int{}, other.first
		}
		r.count[reason] += n
	}
}

func (r rejections) total() (n int) {
	for _, k := range r.count {
		n += k
	}
	return n
}

// String lists the reasons, such as "3 not JSON, 1 no role".
func (r rejections) String() string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(r.count)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.count[reason], reason))
	}
	return strings.Join(parts, ", ")
}
