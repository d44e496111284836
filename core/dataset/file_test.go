package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"swiftgo/core/template"
)

func TestTables(t *testing.T) {
	for name, text := range map[string]string{
		"a.csv": "\uFEFFquery,response,level\n\"a \"\"b\"\",\nc\",\"x\r\ny\",3\n,\"only, an answer\",\n",
		"a.tsv": "query\tresponse\tlevel\n\"a \"\"b\"\",\nc\"\t\"x\ny\"\t3\n\tonly, an answer\t\n",
	} {
		d := open(t, Options{Strict: true}, write(t, name, text))
		if d.Len() != 2 {
			t.Fatalf("%s: %d rows", name, d.Len())
		}
		r := row(t, d, 0)
		if want := []template.Message{{Role: "user", Content: "a \"b\",\nc"}, {Role: "assistant", Content: "x\ny"}}; !slices.Equal(r.Messages, want) || r.Columns["level"] != "3" {
			t.Errorf("%s: %v, %v", name, r.Messages, r.Columns)
		}
		if r := row(t, d, 1); len(r.Messages) != 1 || r.Messages[0].Content != "only, an answer" || !strings.HasSuffix(r.Source, name+": row 2") {
			t.Errorf("%s: %v of %s", name, r.Messages, r.Source)
		}
	}
}

func TestParquet(t *testing.T) {
	type message struct {
		Role    string `parquet:"role"`
		Content string `parquet:"content"`
	}
	type parquetRow struct {
		Messages []message `parquet:"messages,list"`
		Level    int64     `parquet:"level"`
		Tags     []string  `parquet:"tags,list"`
	}
	path := filepath.Join(t.TempDir(), "a.parquet")
	var rows []parquetRow
	for i := range 300 {
		rows = append(rows, parquetRow{[]message{{"user", fmt.Sprint("q<", i)}, {"assistant", "ä"}}, int64(i), []string{"x", "y"}})
	}
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	d := open(t, Options{Strict: true}, path)
	if d.Len() != 300 {
		t.Fatalf("%d rows", d.Len())
	}
	r := row(t, d, 299)
	if r.Messages[0].Content != "q<299" || r.Messages[1].Content != "ä" || r.Columns["level"] != 299.0 || fmt.Sprint(r.Columns["tags"]) != "[x y]" || !strings.HasSuffix(r.Source, "a.parquet: row 300") {
		t.Errorf("%+v", r)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 { // a damaged file is an error, or has other rows
		bad := slices.Clone(data)
		bad[i*len(bad)/40] ^= 0xff
		if d, err := Open([]string{write(t, "b.parquet", string(bad))}, Options{}); err == nil {
			d.Close()
		}
	}
	if _, err := Open([]string{write(t, "b.parquet", string(data[:len(data)/2]))}, Options{}); err == nil {
		t.Error("half a file is no error")
	}
}

func TestSpecs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.jsonl", "a.json", "notes.md", "sub/c.csv", ".git/d.jsonl", "odd#3.jsonl", "en.jsonl"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		spec, files string
		draw        int
	}{
		{"b.jsonl", "b.jsonl", 0}, {"b.jsonl#7", "b.jsonl", 7}, {"odd#3.jsonl", "odd#3.jsonl", 0}, {"odd#3.jsonl#2", "odd#3.jsonl", 2},
		{".", "a.json b.jsonl en.jsonl odd#3.jsonl sub/c.csv", 0}, {"*.jsonl#5", "b.jsonl en.jsonl odd#3.jsonl", 5}, {"s*", "sub/c.csv", 0},
		{".:en/sub#4", "en.jsonl sub/c.csv", 4}, {"./:b", "b.jsonl", 0},
	} {
		s, err := parseSpec(filepath.Join(dir, ".") + "/" + c.spec)
		if err != nil {
			t.Errorf("%s: %v", c.spec, err)
			continue
		}
		var files []string
		for _, f := range s.files {
			rel, _ := filepath.Rel(dir, f)
			files = append(files, rel)
		}
		if strings.Join(files, " ") != c.files || s.draw != c.draw {
			t.Errorf("%s: %q, %d", c.spec, files, s.draw)
		}
	}
	for _, spec := range []string{".:xx", "*.parquet", "b.jsonl#-1", ".:en/xx#2"} {
		if s, err := parseSpec(dir + "/" + spec); err == nil {
			t.Errorf("%s: %v", spec, s)
		}
	}
}

func TestColumns(t *testing.T) {
	path := write(t, "a.jsonl", `{"ask": "q", "tell": "a", "query": "old"}`)
	d := open(t, Options{Strict: true, Columns: map[string]string{"ask": "query", "tell": "response"}}, path)
	if m := row(t, d, 0).Messages; m[0].Content != "q" || m[1].Content != "a" {
		t.Errorf("%v", m)
	}
	_, err := Open([]string{path}, Options{Columns: map[string]string{"ask": "query", "tell": "query"}})
	if err == nil || err.Error() != "--columns reads both ask and tell as query; want one" {
		t.Errorf("two columns as one: %v", err)
	}
}

func TestLongRow(t *testing.T) {
	long := strings.Repeat("ab ", 10<<20/3)
	d := open(t, Options{Strict: true}, write(t, "a.jsonl", `{"query": "q", "response": "`+long+`"}`+"\n"+numbered(1)))
	if got := row(t, d, 0).Messages[1].Content; d.Len() != 2 || got != long {
		t.Errorf("%d rows, the first of %d bytes", d.Len(), len(got))
	}
}

// TestRowsInOrder reads many rows with several workers.
func TestRowsInOrder(t *testing.T) {
	for _, workers := range []int{1, 7} {
		d := open(t, Options{Workers: workers}, write(t, "a.jsonl", strings.ReplaceAll(numbered(300), "\"i\": 77}", "")))
		if d.Len() != 299 || answers(t, d)[298] != "299" || d.dropped.count["not JSON"] != 1 {
			t.Errorf("%d workers: %d rows", workers, d.Len())
		}
	}
}

func TestFileThatChanges(t *testing.T) {
	path := write(t, "a.jsonl", numbered(3))
	d := open(t, Options{}, path)
	if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Row(2); err == nil || !strings.Contains(err.Error(), "has changed since it was opened") {
		t.Errorf("%v", err)
	}
}
