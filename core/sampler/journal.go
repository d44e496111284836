package sampler

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"time"
)

// journal is what a run has done so far, in a file beside its results: a line
// with the settings, then one for each row whose answers are sampled, and one
// when they are scored. A line that is cut off is as if it was not there.
type journal struct {
	path    string
	results string
	file    *os.File
	first   int64 // where the first entry after the settings begins
	end     int64
	synced  time.Time
	sampled map[int]entry   // by row; of those that are not scored
	scored  map[int]*scored // by row, without their lines
	at      map[int]int64   // where in the file the entry of a scored row begins
}

// entry is a line of the journal.
type entry struct {
	Settings map[string]any `json:"settings,omitempty"`
	Row      int            `json:"row"`
	Sampled  []Answer       `json:"sampled,omitempty"`
	Cached   int            `json:"cached,omitempty"` // of the answers
	Scored   *scored        `json:"scored,omitempty"`
}

// openJournal begins a run with results at path, or goes on with one. Another
// process cannot have the journal at the same time.
func openJournal(path string, settings map[string]any, resume, override bool) (*journal, error) {
	j := &journal{path: path + ".journal", results: path, sampled: map[int]entry{}, scored: map[int]*scored{}, at: map[int]int64{}}
	_, err := os.Stat(j.path)
	begun := err == nil
	_, err = os.Stat(path)
	written := err == nil
	switch {
	case written && !begun && resume:
		return nil, fmt.Errorf("%s: %w", path, ErrComplete)
	case written && !begun && !override:
		return nil, fmt.Errorf("%s is there already; name another --output_file, or write over it with --override_exist_file", path)
	case begun && !resume && !override:
		return nil, fmt.Errorf("%s is of a run that was cut off; go on with --resume, or begin again with --override_exist_file", j.path)
	}
	if j.file, err = os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, fmt.Errorf("--output_dir: %w", err)
	}
	if err := j.begin(settings, resume); err != nil {
		j.file.Close()
		return nil, err
	}
	return j, nil
}

// ErrComplete says that there is nothing left to resume.
var ErrComplete = errors.New("it is complete, nothing is left to do")

func (j *journal) begin(settings map[string]any, resume bool) error {
	if err := syscall.Flock(int(j.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("%s is in use by another process; wait for it, or name another --output_file", j.path)
	}
	if resume {
		if err := j.read(settings); err != nil {
			return err
		}
	}
	if err := j.file.Truncate(j.end); err != nil {
		return err
	}
	if j.end > 0 {
		return nil
	}
	err := j.write(entry{Row: -1, Settings: settings})
	j.first = j.end
	return err
}

// read takes in what is in the journal.
func (j *journal) read(settings map[string]any) error {
	in := bufio.NewReaderSize(io.NewSectionReader(j.file, 0, 1<<62), 1<<20)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%s:%d: %w; it is damaged: begin again with --override_exist_file", j.path, n, err)
		}
		switch {
		case n == 1:
			err = j.same(e.Settings, settings)
		case e.Scored != nil:
			delete(j.sampled, e.Row)
			j.scored[e.Row], j.at[e.Row] = e.Scored, j.end
			e.Scored.Lines = nil
		default:
			j.sampled[e.Row] = e
		}
		if err != nil {
			return err
		}
		if j.end += int64(len(line)); n == 1 {
			j.first = j.end
		}
	}
}

// same refuses to go on with other settings than those the run began with.
func (j *journal) same(then, now map[string]any) error {
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	var read map[string]any
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	all := map[string]any{}
	maps.Copy(all, then)
	maps.Copy(all, read)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !reflect.DeepEqual(then[name], read[name]) {
			return fmt.Errorf("--resume: %s was begun with another %s (%v, now %v); want the same settings, or begin again with --override_exist_file", j.path, name, then[name], read[name])
		}
	}
	return nil
}

// write appends an entry in one piece, which is enough for it to outlive the
// process; once a second it brings all to the disk, for it to outlive the machine.
func (j *journal) write(e entry) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(e) // ends with a new line
	if err == nil {
		_, err = j.file.WriteAt(b.Bytes(), j.end)
	}
	if err == nil && time.Since(j.synced) > time.Second {
		err = j.file.Sync()
		j.synced = time.Now()
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", j.path, err)
	}
	if e.Scored != nil {
		j.at[e.Row] = j.end
		delete(j.sampled, e.Row)
	}
	j.end += int64(b.Len())
	return nil
}

// begun reports whether anything is in it but the settings.
func (j *journal) begun() bool { return j.end > j.first }

// close ends the writing. A journal that has nothing is removed.
func (j *journal) close() {
	if !j.begun() {
		os.Remove(j.path)
	}
	j.file.Close()
}

// finish writes the results of the rows from one to another, in their order, and
// removes the journal. The results are whole or as they were.
func (j *journal) finish(from, to int) error {
	tmp := j.results + ".tmp" // one that a killed run left is written over
	err := writeFile(tmp, func(w *bufio.Writer) error {
		for i := from; i < to; i++ {
			at, ok := j.at[i]
			if !ok { // it has no answer
				continue
			}
			var e entry
			if err := json.NewDecoder(io.NewSectionReader(j.file, at, j.end-at)).Decode(&e); err != nil {
				return fmt.Errorf("%s: %w", j.path, err)
			}
			for _, line := range e.Scored.Lines {
				w.WriteString(line)
				w.WriteByte('\n')
			}
		}
		return nil
	})
	if err == nil {
		err = os.Rename(tmp, j.results)
	}
	if err == nil {
		err = syncDir(filepath.Dir(j.results))
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("writing %s: %w", j.results, err)
	}
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func writeFile(path string, fill func(*bufio.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = fill(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) { // some file systems have no such thing
		err = nil
	}
	return errors.Join(err, f.Close())
}
