package sampler

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"swiftgo/core/template"
)

// Engine answers questions.
type Engine interface {
	// Answer samples N answers to each question, and hands over those to
	// question i as soon as they are there, in any order but one at a time. An
	// error of one question stands with its answers. One that ends the run is
	// returned, as is one that got returns; then questions are left without.
	Answer(ctx context.Context, qs []Question, got func(i int, a Answers) error) error
}

// Question is what an engine is asked.
type Question struct {
	Source       string // of its row
	Row          int    // its index in the dataset
	First        int    // the number of the first of its answers: those before it are there already
	N            int    // how many answers to sample
	Conversation *template.Conversation
}

// Answers are those to one question, and what was wrong if there are too few.
type Answers struct {
	Answers []Answer
	Err     error
}

// Answer is one of them.
type Answer struct {
	Text      string `json:"text"`
	Tokens    int    `json:"tokens,omitempty"`    // 0 if unknown
	Truncated bool   `json:"truncated,omitempty"` // whether it was cut off at the token limit
}

// ReadCache returns the answers in files that were written without a reward
// model, by the id of their row, in the order they stand there.
func ReadCache(paths []string) (map[string][]string, error) {
	cached := map[string][]string{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("--cache_files: %w", err)
		}
		err = readCache(f, cached)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("--cache_files %s:%w", path, err)
		}
	}
	return cached, nil
}

func readCache(f *os.File, cached map[string][]string) error {
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<30)
	n := 0
	for lines.Scan() {
		if n++; len(lines.Bytes()) == 0 {
			continue
		}
		var line struct {
			ID       string
			Messages []struct{ Role, Content string }
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("%d: %w", n, err)
		}
		last := len(line.Messages) - 1
		if line.ID == "" || last < 0 || line.Messages[last].Role != template.Assistant {
			return fmt.Errorf(`%d: want {"messages": …, "id": …} whose last message is the assistant's, as swiftgo sample writes them`, n)
		}
		cached[line.ID] = append(cached[line.ID], line.Messages[last].Content)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%d: %w", n+1, err)
	}
	return nil
}
