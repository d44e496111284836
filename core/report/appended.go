package report

import (
	"log/slog"
	"os"
)

// appended is a file that only grows. What a write leaves out, on a disk that is
// full, is kept and comes first in the next, so that the file never has half a
// line with something else behind it.
type appended struct {
	file *os.File
	rest []byte // not written yet
}

// add appends text. The first of several writes that fail is told.
func (a *appended) add(text []byte) {
	behind := len(a.rest) > 0
	a.rest = append(a.rest, text...)
	if err := a.flush(); err != nil && !behind {
		slog.Warn("the run goes on, and what it reports is kept in memory until it can be written", "error", err)
	}
}

func (a *appended) flush() error {
	n, err := a.file.Write(a.rest)
	a.rest = a.rest[n:]
	return err
}

// close tries once more and closes the file.
func (a *appended) close() error {
	var err error
	if len(a.rest) > 0 {
		err = a.flush()
	}
	if closed := a.file.Close(); err == nil {
		err = closed
	}
	return err
}
