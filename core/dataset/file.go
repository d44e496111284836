package dataset

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"swiftgo/core/template"
)

// file is an open file of rows, each a stretch of its bytes.
type file struct {
	path   string
	data   *os.File
	size   int64
	start  int64    // of the first row
	form   form     // of a row
	comma  rune     // between the fields of a table
	header []string // of a table
	array  bool     // the rows are the elements of one JSON array
}

type form int

const (
	object form = iota // a JSON object
	text               // a line of text to train on
	table              // a line of fields
)

// openFile opens a file and finds out what its rows are.
func openFile(path string, o Options) (*file, error) {
	data, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("dataset %w", err)
	}
	f := &file{path: path, data: data}
	if err := f.begin(o); err != nil {
		f.data.Close()
		return nil, err
	}
	return f, nil
}

func (f *file) begin(o Options) error {
	ext := strings.ToLower(filepath.Ext(f.path))
	if ext == ".parquet" {
		if err := f.unpackParquet(); err != nil {
			return fmt.Errorf("dataset %s: %w", f.path, err)
		}
	}
	info, err := f.data.Stat()
	if err != nil {
		return fmt.Errorf("dataset %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("dataset %s is no regular file; want a file of rows, as they are read more than once", f.path)
	}
	f.size = info.Size()
	in := f.reader(0)
	start, _ := in.Peek(in.Size())
	if binaryData(start) {
		return fmt.Errorf("dataset %s is not text; want rows in UTF-8", f.path)
	}
	if bytes.HasPrefix(start, []byte("\uFEFF")) {
		f.start = 3
		start = start[3:]
	}
	switch ext {
	case ".txt":
		if !o.Pretraining {
			return fmt.Errorf("dataset %s: a line of .txt is text to train on as it is, for swiftgo pt; for conversations want .jsonl", f.path)
		}
		f.form = text
	case ".csv", ".tsv":
		f.form, f.comma = table, map[string]rune{".csv": ',', ".tsv": '\t'}[ext]
		return f.readHeader()
	default:
		start = bytes.TrimLeft(start, " \t\r\n")
		f.array = len(start) > 0 && start[0] == '['
	}
	return nil
}

func (f *file) reader(at int64) *bufio.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(f.data, at, f.size-at), 1<<16)
}

// binaryData reports whether data is the start of a file that is not text.
func binaryData(data []byte) bool {
	for i := 0; i < utf8.UTFMax && len(data) > 0 && !utf8.RuneStart(data[len(data)-1]); i++ {
		data = data[:len(data)-1]
	}
	if n := len(data); n > 0 && data[n-1] >= utf8.RuneSelf {
		data = data[:n-1] // a character may be cut in two here
	}
	return bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data)
}

// source says where a row stands.
func (f *file) source(n int32) string {
	switch {
	case f.array:
		return fmt.Sprintf("%s: element %d", f.path, n)
	case f.form == table || filepath.Ext(f.path) == ".parquet":
		return fmt.Sprintf("%s: row %d", f.path, n)
	}
	return fmt.Sprintf("%s:%d", f.path, n)
}

// rows returns what returns one row after another: its number, where it begins
// and its bytes, and io.EOF after the last.
func (f *file) rows() func() (n int32, at int64, data []byte, err error) {
	switch {
	case f.array:
		return f.elements()
	case f.form == table:
		return f.records()
	}
	return f.lines()
}

// lines are those that are not blank.
func (f *file) lines() func() (int32, int64, []byte, error) {
	in, next, n := f.reader(f.start), f.start, int32(0)
	return func() (int32, int64, []byte, error) {
		for {
			line, err := in.ReadBytes('\n')
			at := next
			next += int64(len(line))
			n++
			if err != nil && err != io.EOF {
				return 0, 0, nil, fmt.Errorf("%s:%d: %w", f.path, n, err)
			}
			left := bytes.TrimLeft(line, " \t\r\n")
			if data := bytes.TrimRight(left, " \t\r\n"); len(data) > 0 {
				return n, at + int64(len(line)-len(left)), data, nil
			}
			if err == io.EOF {
				return 0, 0, nil, io.EOF
			}
		}
	}
}

// elements are those of a JSON array. After a mistake in the JSON itself no row
// can be found again, so that is always an error.
func (f *file) elements() func() (int32, int64, []byte, error) {
	dec := json.NewDecoder(f.reader(f.start))
	dec.Token() // the bracket
	n := int32(0)
	return func() (int32, int64, []byte, error) {
		if !dec.More() {
			if _, err := dec.Token(); err != nil {
				return 0, 0, nil, fmt.Errorf("%s: after element %d of the array: %w", f.path, n, noEOF(err))
			}
			return 0, 0, nil, io.EOF
		}
		n++
		var row json.RawMessage
		if err := dec.Decode(&row); err != nil {
			return 0, 0, nil, fmt.Errorf("%s: element %d of the array: %w", f.path, n, noEOF(err))
		}
		return n, f.start + dec.InputOffset() - int64(len(row)), row, nil
	}
}

// noEOF returns io.ErrUnexpectedEOF for io.EOF, which would mean that all is
// well.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (f *file) csv(in io.Reader) *csv.Reader {
	r := csv.NewReader(in)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = f.comma, true, -1
	return r
}

// readHeader reads the names of a table's columns.
func (f *file) readHeader() error {
	r := f.csv(f.reader(f.start))
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("dataset %s: the header: %w; want the names of the columns in the first line", f.path, noEOF(err))
	}
	seen := map[string]bool{}
	for i, name := range header {
		if name = strings.TrimSpace(name); seen[name] || name == "" {
			return fmt.Errorf("dataset %s: column %d is called %q, want a name of its own for each", f.path, i+1, name)
		}
		seen[name], header[i] = true, name
	}
	f.header = header
	f.start += r.InputOffset()
	return nil
}

// records are the lines of a table, of which fields in quotes may have several.
func (f *file) records() func() (int32, int64, []byte, error) {
	var seen bytes.Buffer // what r has read from from on
	r := f.csv(io.TeeReader(f.reader(f.start), &seen))
	from, n := int64(0), int32(0)
	return func() (int32, int64, []byte, error) {
		_, err := r.Read()
		n++
		if err == io.EOF {
			return 0, 0, nil, io.EOF
		}
		if err != nil {
			return 0, 0, nil, fmt.Errorf("%s: row %d: %w", f.path, n, err)
		}
		data := bytes.Clone(seen.Next(int(r.InputOffset() - from)))
		at := f.start + from
		from = r.InputOffset()
		return n, at, data, nil
	}
}

// unpackParquet writes the rows of a Parquet file, as JSON, into a temporary
// file, which is read in its place.
func (f *file) unpackParquet() error {
	info, err := f.data.Stat()
	if err != nil {
		return err
	}
	packed, err := parquet.OpenFile(f.data, info.Size())
	if err != nil {
		return fmt.Errorf("no Parquet file: %w", err)
	}
	out, err := os.CreateTemp("", "swiftgo-rows-")
	if err != nil {
		return err
	}
	remove(out)
	if err := writeRows(out, packed); err != nil {
		out.Close()
		return err
	}
	f.data.Close()
	f.data = out
	return nil
}

func writeRows(out io.Writer, packed *parquet.File) (err error) {
	defer func() { // the library's, of a damaged file
		if r := recover(); r != nil {
			err = fmt.Errorf("a damaged Parquet file: %v", r)
		}
	}()
	w := bufio.NewWriterSize(out, 1<<20)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	rows := parquet.NewGenericReader[any](packed)
	defer rows.Close()
	batch := make([]any, 64)
	for {
		clear(batch)
		n, err := rows.Read(batch)
		for _, row := range batch[:n] {
			if err := e.Encode(plainValue(row)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return w.Flush()
		}
		if err != nil {
			return err
		}
	}
}

// plainValue turns the texts in a row of Parquet into strings.
func plainValue(v any) any {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case []any:
		for i := range v {
			v[i] = plainValue(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = plainValue(v[name])
		}
	}
	return v
}

// parse reads row n. Its errors are *rowError.
func (f *file) parse(n int32, data []byte, o Options) (Row, error) {
	var row Row
	var err error
	switch f.form {
	case text:
		if !utf8.Valid(data) {
			return row, bad("not UTF-8", "the line is not UTF-8")
		}
		row.Conversation = template.Conversation{Messages: []template.Message{{Role: template.Assistant, Content: string(data)}}}
	case table:
		row, err = f.parseRecord(data, o)
	default:
		row, err = ParseRow(data, o.Columns)
	}
	if err == nil && !o.Prompts && o.Task == Answer && !answered(row.Messages) {
		err = noAnswer(row)
	}
	row.Source = f.source(n)
	return row, err
}

// parseRecord reads a line of a table as an object of texts. An empty field is
// no column.
func (f *file) parseRecord(data []byte, o Options) (Row, error) {
	fields, err := f.csv(bytes.NewReader(data)).Read()
	if err != nil {
		return Row{}, bad("not a row of the table", "%v", err)
	}
	if len(fields) != len(f.header) {
		return Row{}, bad("not a row of the table", "it has %d fields, and the header %d", len(fields), len(f.header))
	}
	cols := columns{}
	for i, name := range f.header {
		if fields[i] == "" {
			continue
		}
		if !utf8.ValidString(fields[i]) {
			return Row{}, bad("not UTF-8", "column %s is not UTF-8", name)
		}
		text, _ := json.Marshal(fields[i])
		cols[name] = text
	}
	return cols.row(o.Columns)
}
