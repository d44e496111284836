package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// stream writes server-sent events.
type stream struct {
	s       *Server
	w       http.ResponseWriter
	control *http.ResponseController
	buf     bytes.Buffer
}

// newStream begins a stream of events.
func (s *Server) newStream(w http.ResponseWriter) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // of nginx in between
	return &stream{s: s, w: w, control: http.NewResponseController(w)}
}

// deadline gives a client the time of one chunk to take what is written next.
func (s *Server) deadline(w http.ResponseWriter) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.WriteTimeout)) // a writer without deadlines has none
}

// send writes one event. An error ends the stream: the client is gone, or does
// not read.
func (e *stream) send(v any) error {
	e.buf.Reset()
	e.buf.WriteString("data: ")
	enc := json.NewEncoder(&e.buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return &streamError{err}
	}
	e.buf.WriteByte('\n')
	return e.write(e.buf.Bytes())
}

// done writes the last event.
func (e *stream) done() error { return e.write([]byte("data: [DONE]\n\n")) }

// fail tells the client that the answer ends here for err.
func (e *stream) fail(err error) error {
	e.send(errorBody(asAPIError(err)))
	return &streamError{err}
}

func (e *stream) write(text []byte) error {
	e.s.deadline(e.w)
	_, err := e.w.Write(text)
	if err == nil {
		err = e.control.Flush()
	}
	if err != nil {
		return &streamError{&apiError{statusGone, "", err}}
	}
	return nil
}

// streamError is an error after a stream began, which no status can tell any
// more.
type streamError struct{ error }

func (e *streamError) Unwrap() error { return e.error }
