package dataset

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"swiftgo/core/template"
)

// parseSpec splits path#n. A file that is really called so is taken whole; n is
// 0 where all rows are wanted.
func parseSpec(spec string) (path string, n int, err error) {
	at := strings.LastIndex(spec, "#")
	if _, err := os.Stat(spec); at < 0 || err == nil {
		return spec, 0, nil
	}
	n, err = strconv.Atoi(spec[at+1:])
	if err != nil || n < 1 {
		return "", 0, fmt.Errorf("dataset %s: the number of rows is %q, want 1 or more", spec, spec[at+1:])
	}
	return spec[:at], n, nil
}

// readFile appends the rows of a file.
func (d *Dataset) readFile(path string, o Options) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("dataset %s: there is no such file; want a file of rows on this machine, .jsonl or .json", path)
	case err != nil:
		return fmt.Errorf("dataset %w", err)
	case info.IsDir():
		return fmt.Errorf("dataset %s is a directory; want a file of rows, .jsonl or .json", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("dataset %w", err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	if start, _ := in.Peek(in.Size()); binary(start) {
		return fmt.Errorf("dataset %s is not text; want rows of JSON in UTF-8", path)
	}
	if start, _ := in.Peek(3); string(start) == "\uFEFF" {
		in.Discard(3)
	}
	ext := strings.ToLower(filepath.Ext(path))
	switch {
	case ext == ".txt" && o.Pretraining:
		return lines(in, func(n int, line []byte) error { return d.addText(fmt.Sprintf("%s:%d", path, n), line, o) })
	case ext == ".txt" || ext == ".csv" || ext == ".parquet":
		return fmt.Errorf("dataset %s: %s files are not read here; want rows of JSON, .jsonl or .json", path, ext)
	}
	if array(in) {
		return d.readArray(in, path, o)
	}
	return lines(in, func(n int, line []byte) error { return d.addJSON(fmt.Sprintf("%s:%d", path, n), line, o) })
}

// binary reports whether data is the start of a file that is not text.
func binary(data []byte) bool {
	for i := 0; i < utf8.UTFMax && len(data) > 0 && !utf8.RuneStart(data[len(data)-1]); i++ {
		data = data[:len(data)-1]
	}
	if n := len(data); n > 0 && data[n-1] >= utf8.RuneSelf {
		data = data[:n-1] // a character may be cut in two here
	}
	return bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data)
}

// array reports whether what follows is a JSON array.
func array(in *bufio.Reader) bool {
	start, _ := in.Peek(in.Size())
	start = bytes.TrimLeft(start, " \t\r\n")
	return len(start) > 0 && start[0] == '['
}

// lines calls f with every line that is not blank, and its number from 1.
func lines(in *bufio.Reader, f func(n int, line []byte) error) error {
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := f(n, line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// readArray reads the rows of a JSON array. After a mistake in the JSON itself
// no row can be found again, so that is always an error.
func (d *Dataset) readArray(in io.Reader, path string, o Options) error {
	dec := json.NewDecoder(in)
	dec.Token() // the bracket
	n := 1
	for ; dec.More(); n++ {
		var row json.RawMessage
		if err := dec.Decode(&row); err != nil {
			return fmt.Errorf("%s: element %d of the array: %w", path, n, err)
		}
		if err := d.addJSON(fmt.Sprintf("%s: element %d", path, n), row, o); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("%s: after element %d of the array: %w", path, n-1, err)
	}
	return nil
}

func (d *Dataset) addText(source string, line []byte, o Options) error {
	if !utf8.Valid(line) {
		return d.add(Row{Source: source}, bad("not UTF-8", "the line is not UTF-8"), o)
	}
	c := template.Conversation{Messages: []template.Message{{Role: template.Assistant, Content: string(line)}}}
	return d.add(Row{Conversation: c, Source: source}, nil, o)
}

func (d *Dataset) addJSON(source string, data []byte, o Options) error {
	row, err := parseRow(data)
	row.Source = source
	if err == nil && !o.Prompts && !answered(row.Messages) {
		err = noAnswer(row)
	}
	return d.add(row, err, o)
}

// add appends a row, or counts it as left out if it has an error.
func (d *Dataset) add(row Row, err error, o Options) error {
	if err == nil {
		d.rows = append(d.rows, row)
		return nil
	}
	var wrong *rowError
	errors.As(err, &wrong)
	err = fmt.Errorf("%s: %w", row.Source, err)
	if o.Strict {
		return err
	}
	d.dropped.add(wrong.reason, err)
	return nil
}
