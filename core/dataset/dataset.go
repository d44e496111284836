// Package dataset reads the rows of files and hands them out as batches of
// tokens in an order that follows from a seed. Rows and tokens stay on disk, so
// that files may be larger than memory.
//
// Read [Open] and [Loader.Step] first. Files are found (spec.go) and cut into
// rows (file.go); each row is read in the layout its columns show (row.go,
// message.go, with python.go for the literals that Python programs leave in
// JSON); a Loader encodes the rows (encode.go, judged.go, classified.go) into a file of tokens (store.go)
// and makes batches of them (loader.go, pack.go), or encodes them as they are
// used (stream.go). A row that is wrong is left out and counted, unless
// Options.Strict.
package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"swiftgo/core/template"
)

// Row is one row of a file.
type Row struct {
	template.Conversation
	Rejected *template.Conversation // that is worse, of preference data, or nil
	Source   string                 // where it stands, such as train.jsonl:17
	Columns  map[string]any         // what else it holds, as JSON values
}

// Dataset is the rows of one or more files, in the order of the files, or mixed.
type Dataset struct {
	files   []*file
	refs    []ref
	dropped rejections
	options Options
}

// ref is where a row is. There may be many millions of them, so it is small.
type ref struct {
	where  uint64 // the index of its file in the first 16 bits, and the byte in the others
	n      int32  // of its line or element, from 1
	length int32  // bytes
}

// most is how many files a Dataset may have.
const most = 1 << 16

func newRef(file int, n int32, at int64, length int) ref {
	return ref{uint64(file)<<48 | uint64(at), n, int32(length)}
}

func (r ref) file() int { return int(r.where >> 48) }

func (r ref) at() int64 { return int64(r.where & (1<<48 - 1)) }

// Options say how files are read.
type Options struct {
	Seed        int64             // of the rows that path#n draws, and of the mix
	Strict      bool              // the first row that is wrong is an error
	Pretraining bool              // a line of a .txt file is a row
	Prompts     bool              // rows need no answer: they are for a model to answer
	Task        Task              // what is made of a row; Answer if nothing is said
	Labels      Labels            // of a Classification
	Columns     map[string]string // names of columns, and what they are to be read as
	Workers     int               // rows that are read at a time; 0 is one a processor
	Mix         []float64         // how likely each dataset is at each row; nil is one dataset after another
	Exhaust     bool              // mix until every dataset has been used up, repeating, rather than until one has
	Lazy        bool              // rows are not looked at before they are used: what is wrong with one is found then
	Progress    Progress
}

// Progress returns what is told of the bytes or rows that are done of a task;
// the task ends with done. It may be nil.
type Progress func(task string, total int64) (add func(n int64), done func())

func (p Progress) begin(task string, total int64) (add func(n int64), done func()) {
	if p == nil {
		return func(int64) {}, func() {}
	}
	return p(task, total)
}

// Open finds the rows of datasets. Each spec is a file, a folder, a pattern such
// as data/*.jsonl, or folder:part for a part of a folder; with #n after it, n of
// its rows are drawn at random, all of them as often as fits and the rest once
// more. The files must not change while the Dataset is in use.
func Open(specs []string, o Options) (*Dataset, error) {
	if len(specs) == 0 {
		return nil, errors.New("no dataset is named; want files of rows, .jsonl")
	}
	if err := o.check(specs); err != nil {
		return nil, err
	}
	all := &Dataset{options: o}
	var parts [][]ref
	for i, text := range specs {
		s, err := parseSpec(text)
		if err != nil {
			all.Close()
			return nil, err
		}
		refs, err := all.read(s)
		if err != nil {
			all.Close()
			return nil, err
		}
		if s.draw > 0 {
			refs = draw(refs, s.draw, o.Seed, i)
		}
		parts = append(parts, refs)
	}
	switch {
	case o.Mix != nil:
		all.refs = mix(parts, o.Mix, o.Exhaust, o.Seed)
	case len(parts) == 1:
		all.refs = parts[0]
	default:
		all.refs = slices.Concat(parts...)
	}
	return all, nil
}

func (o *Options) check(specs []string) error {
	taken := map[string]string{}
	for _, from := range slices.Sorted(maps.Keys(o.Columns)) {
		to := o.Columns[from]
		if other := taken[to]; other != "" {
			return fmt.Errorf("--columns reads both %s and %s as %s; want one", other, from, to)
		}
		taken[to] = from
	}
	if o.Mix == nil {
		return nil
	}
	if len(o.Mix) != len(specs) {
		return fmt.Errorf("--interleave_prob has %d numbers, and there are %d datasets; want one for each", len(o.Mix), len(specs))
	}
	sum := 0.0
	for _, p := range o.Mix {
		if !(p > 0) {
			return fmt.Errorf("--interleave_prob has %g, want numbers above 0", p)
		}
		sum += p
	}
	if sum < 0.999 || sum > 1.001 {
		return fmt.Errorf("--interleave_prob adds up to %g, want 1", sum)
	}
	return nil
}

// read returns the good rows of a spec.
func (d *Dataset) read(s spec) ([]ref, error) {
	var refs []ref
	before := d.dropped.total()
	for _, path := range s.files {
		got, err := d.readFile(path)
		if err != nil {
			return nil, err
		}
		refs = append(refs, got...)
	}
	switch {
	case len(refs) > 0:
		return refs, nil
	case d.dropped.total() == before:
		return nil, fmt.Errorf("%s has no rows; want one JSON object a line", s.text)
	}
	return nil, fmt.Errorf("%s has no row that can be used: %s; the first: %w", s.text, d.dropped, d.dropped.first)
}

// readFile finds the rows of a file, and looks at each unless they are read
// lazily, several at a time.
func (d *Dataset) readFile(path string) ([]ref, error) {
	if len(d.files) == most {
		return nil, fmt.Errorf("dataset %s: there are more than %d files", path, most)
	}
	f, err := openFile(path, d.options)
	if err != nil {
		return nil, err
	}
	d.files = append(d.files, f)
	type job struct {
		ref
		data []byte
	}
	type result struct {
		ref
		err error
	}
	add, done := d.options.Progress.begin("reading "+filepath.Base(path), f.size)
	defer done()
	rows := f.rows()
	var refs []ref
	err = inOrder(d.options.workers(),
		func() (job, error) {
			n, at, data, err := rows()
			return job{newRef(len(d.files)-1, n, at, len(data)), data}, err
		},
		func(j job) result {
			if d.options.Lazy {
				return result{j.ref, nil}
			}
			_, err := f.parse(j.n, j.data, d.options)
			return result{j.ref, err}
		},
		func(r result) error {
			add(int64(r.length))
			if r.err == nil {
				refs = append(refs, r.ref)
				return nil
			}
			return d.dropped.leaveOut(f.source(r.n), r.err, d.options.Strict)
		})
	return refs, err
}

func (o *Options) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// draw returns n rows at random, all of them as often as fits and the rest
// once more.
func draw(rows []ref, n int, seed int64, file int) []ref {
	r := rand.New(rand.NewPCG(uint64(seed), uint64(file)))
	var out []ref
	for len(out) < n {
		for _, i := range r.Perm(len(rows)) {
			if len(out) < n {
				out = append(out, rows[i])
			}
		}
	}
	return out
}

// mix draws at each row from which dataset it comes, until one, or every one, is
// used up; those that are used up before begin again.
func mix(parts [][]ref, likely []float64, exhaust bool, seed int64) []ref {
	r := rand.New(rand.NewPCG(uint64(seed), mixStream))
	next, used := make([]int, len(parts)), make([]bool, len(parts))
	var out []ref
	for {
		p, x := 0, r.Float64()
		for ; p < len(parts)-1 && x >= likely[p]; p++ {
			x -= likely[p]
		}
		out = append(out, parts[p][next[p]])
		if next[p]++; next[p] < len(parts[p]) {
			continue
		}
		next[p], used[p] = 0, true
		if !exhaust || !slices.Contains(used, false) {
			return out
		}
	}
}

// splitStream and mixStream keep the draws of Split and mix apart from those of
// epochs and files.
const (
	splitStream = 1 << 32
	mixStream   = 1<<32 + 1
)

// Len returns the number of rows.
func (d *Dataset) Len() int { return len(d.refs) }

// Row reads row i. It may be called from several goroutines.
func (d *Dataset) Row(i int) (*Row, error) {
	r := d.refs[i]
	f, data, err := d.bytes(r)
	if err != nil {
		return nil, err
	}
	row, err := f.parse(r.n, data, d.options)
	if err != nil && !d.options.Lazy {
		return nil, fmt.Errorf("%s: %w; the file has changed since it was opened", f.source(r.n), err)
	}
	return &row, err
}

// bytes returns what stands in the file of a row.
func (d *Dataset) bytes(r ref) (*file, []byte, error) {
	f := d.files[r.file()]
	data := make([]byte, r.length)
	if _, err := f.data.ReadAt(data, r.at()); err != nil {
		return nil, nil, fmt.Errorf("%s: %w; the file has changed since it was opened", f.source(r.n), err)
	}
	return f, data, nil
}

// Close closes the files. The datasets that Split made have the same ones.
func (d *Dataset) Close() error {
	var errs []error
	for _, f := range d.files {
		errs = append(errs, f.data.Close())
	}
	return errors.Join(errs...)
}

// Split sets apart a share of the rows, drawn at random, at least one.
func (d *Dataset) Split(ratio float64, seed int64) (train, val *Dataset, err error) {
	n := max(1, int(ratio*float64(len(d.refs))))
	if !(ratio > 0 && ratio < 1) || n >= len(d.refs) {
		return nil, nil, fmt.Errorf("cannot set apart %g of %d rows; want a share between 0 and 1 that leaves some to train on", ratio, len(d.refs))
	}
	held := make([]bool, len(d.refs))
	for _, i := range rand.New(rand.NewPCG(uint64(seed), splitStream)).Perm(len(d.refs))[:n] {
		held[i] = true
	}
	train = &Dataset{files: d.files, dropped: d.dropped, options: d.options}
	val = &Dataset{files: d.files, options: d.options}
	for i, r := range d.refs {
		if held[i] {
			val.refs = append(val.refs, r)
		} else {
			train.refs = append(train.refs, r)
		}
	}
	return train, val, nil
}

// Fingerprint returns a hash of the contents of the files, how they are read,
// and which rows of them are in the dataset, in which order.
func (d *Dataset) Fingerprint() (string, error) {
	all := sha256.New()
	fmt.Fprintln(all, d.options.Pretraining, d.options.Prompts, d.options.Columns, d.options.Task, d.options.Labels)
	for _, f := range d.files {
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(f.data, 0, f.size)); err != nil {
			return "", fmt.Errorf("%s: %w", f.path, err)
		}
		fmt.Fprintln(all, f.path, hex.EncodeToString(h.Sum(nil)))
	}
	var where []byte
	for i, r := range d.refs {
		if where = binary.LittleEndian.AppendUint64(where, r.where); len(where) >= 1<<16 || i == len(d.refs)-1 {
			all.Write(where)
			where = where[:0]
		}
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// rejections counts the rows that are left out, by reason.
type rejections struct {
	count map[string]int
	first error // of those that are wrong
	shown int   // rows in the log
}

// reported is how many rows are named in the log.
const reported = 10

// leaveOut counts a row that is wrong and logs the first few, or is its error
// where that ends the run.
func (r *rejections) leaveOut(source string, err error, strict bool) error {
	reason := notWritten
	var wrong *rowError
	if errors.As(err, &wrong) {
		reason = wrong.reason
	}
	err = fmt.Errorf("%s: %w", source, err)
	if strict {
		return err
	}
	if r.shown++; r.shown <= reported {
		slog.Warn("row left out", "row", err)
	}
	if r.first == nil {
		r.first = err
	}
	r.add(reason, 1)
	return nil
}

// add counts rows that are left out.
func (r *rejections) add(reason string, n int) {
	if r.count == nil {
		r.count = map[string]int{}
	}
	r.count[reason] += n
}

func (r *rejections) addAll(other rejections) {
	for reason, n := range other.count {
		r.add(reason, n)
	}
	if r.first == nil {
		r.first = other.first
	}
	r.shown += other.shown
}

func (r rejections) clone() rejections {
	r.count = maps.Clone(r.count)
	return r
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

// remove removes a temporary file that is open: what is in it stays until it is
// closed, and nothing of it is left if the process dies.
func remove(f *os.File) error { return os.Remove(f.Name()) }
