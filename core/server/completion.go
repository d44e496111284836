package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"swiftgo/core/generate"
	"swiftgo/core/model"
	"swiftgo/core/template"
)

// completionRequest is what POST /v1/completions is sent.
type completionRequest struct {
	common
	Prompt   json.RawMessage `json:"prompt"`
	Logprobs *int            `json:"logprobs"`
	Echo     bool            `json:"echo"`
	Suffix   string          `json:"suffix"`
	BestOf   *int            `json:"best_of"`
}

type completionChoice struct {
	Index        int             `json:"index"`
	Text         string          `json:"text"`
	Logprobs     *legacyLogprobs `json:"logprobs"`
	FinishReason *string         `json:"finish_reason"`
}

// legacyLogprobs are log probabilities as completions have them.
type legacyLogprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []float64            `json:"token_logprobs"`
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"`
}

// completions continues texts.
func (s *Server) completions(w http.ResponseWriter, r *http.Request) error {
	var q completionRequest
	if err := read(w, r, &q, &q.common); err != nil {
		return err
	}
	logprobs := -1
	if q.Logprobs != nil {
		if logprobs = *q.Logprobs; logprobs < 0 || logprobs > mostLogprobs {
			return bad("logprobs is %d, want a number from 0 to %d", logprobs, mostLogprobs)
		}
	}
	if q.Echo || q.Suffix != "" || q.BestOf != nil && *q.BestOf != 1 && (q.N == nil || *q.BestOf != *q.N) {
		return bad("echo, suffix and best_of are not supported")
	}
	request, err := s.request(&q.common, logprobs)
	if err != nil {
		return err
	}
	prompts, err := s.prompts(q.Prompt)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	a := &completionAnswer{s: s, n: request.N, logprobs: q.Logprobs != nil, offsets: map[int]int{},
		object: object[completionChoice]{ID: newID("cmpl-"), Object: "text_completion", Created: time.Now().Unix(), Model: s.Models[request.Model]}}
	for _, p := range prompts {
		request.Prompt = p
		answer, err := s.ask(ctx, request)
		if err != nil {
			return err
		}
		a.usage.add(len(p), 0)
		a.answers = append(a.answers, answer)
	}
	if q.Stream {
		return a.stream(ctx, s.newStream(w), q.StreamOptions != nil && q.StreamOptions.IncludeUsage)
	}
	return a.whole(w)
}

// mostPrompts is the most prompts of one request.
const mostPrompts = 64

// prompts reads a text, texts, tokens, or lists of tokens.
func (s *Server) prompts(raw json.RawMessage) ([][]int32, error) {
	var t texts
	var ids []int32
	var lists [][]int32
	switch {
	case json.Unmarshal(raw, &t) == nil && len(t) > 0:
		for _, text := range t {
			ids, err := s.Plain.Prompt(&template.Conversation{Messages: []template.Message{{Role: template.User, Content: text}}})
			if err != nil {
				return nil, bad("prompt: %v", err)
			}
			lists = append(lists, ids)
		}
	case json.Unmarshal(raw, &ids) == nil && len(ids) > 0:
		lists = [][]int32{ids}
	case json.Unmarshal(raw, &lists) == nil && len(lists) > 0:
	default:
		return nil, bad("prompt is %.40s, want a text, a list of texts, a list of tokens or a list of such lists", orNothing(raw))
	}
	if len(lists) > mostPrompts {
		return nil, bad("there are %d prompts, want at most %d in a request", len(lists), mostPrompts)
	}
	return lists, nil
}

// completionAnswer is the answers to the prompts of a request on their way to a
// client. Choice k of prompt i has index i·n+k.
type completionAnswer struct {
	s        *Server
	answers  []*generate.Answer
	n        int
	logprobs bool
	offsets  map[int]int // of each choice: characters of the tokens so far
	object   object[completionChoice]
	usage    usage
}

func (a *completionAnswer) whole(w http.ResponseWriter) error {
	for i, answer := range a.answers {
		choices, err := answer.Wait()
		if err != nil {
			return err
		}
		for k, c := range choices {
			a.usage.add(0, len(c.Tokens))
			a.object.Choices = append(a.object.Choices, a.choice(i*a.n+k, c.Text, c.Tokens, c.Ended))
		}
	}
	a.object.Usage = &a.usage
	a.s.deadline(w)
	writeJSON(w, a.object)
	return nil
}

func (a *completionAnswer) choice(index int, text string, tokens []model.Token, ended model.Ending) completionChoice {
	c := completionChoice{Index: index, Text: text, FinishReason: finish(ended)}
	if !a.logprobs {
		return c
	}
	c.Logprobs = &legacyLogprobs{Tokens: []string{}, TokenLogprobs: []float64{}, TopLogprobs: []map[string]float64{}, TextOffset: []int{}}
	for _, t := range generate.NewLogprobs(a.s.Tokenizer, tokens).Content {
		top := map[string]float64{t.Token: t.Logprob}
		for _, x := range t.Top {
			top[x.Token] = x.Logprob
		}
		c.Logprobs.Tokens, c.Logprobs.TokenLogprobs = append(c.Logprobs.Tokens, t.Token), append(c.Logprobs.TokenLogprobs, t.Logprob)
		c.Logprobs.TopLogprobs, c.Logprobs.TextOffset = append(c.Logprobs.TopLogprobs, top), append(c.Logprobs.TextOffset, a.offsets[index])
		a.offsets[index] += len([]rune(t.Token))
	}
	return c
}

// news is what is new of the answer to prompt i.
type news struct {
	prompt int
	part   generate.Part
	err    error
}

func (a *completionAnswer) stream(ctx context.Context, out *stream, includeUsage bool) error {
	ctx, cancel := context.WithCancel(ctx) // for those that still read when the client is gone
	defer cancel()
	all := make(chan news)
	for i, answer := range a.answers {
		go func() {
			for {
				p, err := answer.Next()
				select {
				case all <- news{i, p, err}:
				case <-ctx.Done():
					return
				}
				if err != nil {
					return
				}
			}
		}()
	}
	for going := len(a.answers); going > 0; {
		var n news
		select {
		case n = <-all:
		case <-ctx.Done():
			return out.fail(ctx.Err())
		}
		if n.err == io.EOF {
			going--
			continue
		}
		if n.err != nil {
			return out.fail(n.err)
		}
		a.usage.add(0, len(n.part.Tokens))
		if n.part.Text == "" && n.part.Ended == "" && !a.logprobs {
			continue
		}
		chunk := a.object
		chunk.Choices = []completionChoice{a.choice(n.prompt*a.n+n.part.Choice, n.part.Text, n.part.Tokens, n.part.Ended)}
		if err := out.send(chunk); err != nil {
			return err
		}
	}
	if includeUsage {
		a.object.Choices, a.object.Usage = []completionChoice{}, &a.usage
		if err := out.send(a.object); err != nil {
			return err
		}
	}
	return out.done()
}
