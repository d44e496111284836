package dataset

import (
	"errors"
	"io"
	"sync"
)

// inOrder calls work on what next returns, several at a time, and emit on the
// results in their order. It ends with the first error of next, which is nil for
// io.EOF, or of emit.
func inOrder[T, R any](workers int, next func() (T, error), work func(T) R, emit func(R) error) error {
	type job struct {
		value  T
		result chan R
	}
	jobs, order := make(chan job, workers), make(chan job, 4*workers)
	quit := make(chan bool)
	var failed error // of next, read after order is closed
	go func() {
		defer close(order)
		defer close(jobs)
		for {
			value, err := next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					failed = err
				}
				return
			}
			j := job{value, make(chan R, 1)}
			select {
			case order <- j:
			case <-quit:
				return
			}
			jobs <- j
		}
	}()
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for j := range jobs {
				j.result <- work(j.value)
			}
		})
	}
	var err error
	for j := range order {
		if err != nil {
			continue // until the first goroutine has seen that it is over
		}
		if err = emit(<-j.result); err != nil {
			close(quit)
		}
	}
	running.Wait()
	if err == nil {
		err = failed
	}
	return err
}
