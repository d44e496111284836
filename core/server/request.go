package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"swiftgo/core/dataset"
	"swiftgo/core/generate"
	"swiftgo/core/model"
	"swiftgo/core/template"
)

// common is what chat completions and completions are both asked with. What is
// not here is not looked at, but for what would change the answer and is not done.
type common struct {
	Model string `json:"model"`
	generate.Settings
	MaxTokens           *int  `json:"max_tokens"`
	MaxCompletionTokens *int  `json:"max_completion_tokens"`
	N                   *int  `json:"n"`
	Stop                texts `json:"stop"`
	Stream              bool  `json:"stream"`
	StreamOptions       *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	FrequencyPenalty float64                `json:"frequency_penalty"`
	PresencePenalty  float64                `json:"presence_penalty"`
	LogitBias        map[string]any         `json:"logit_bias"`
	ResponseFormat   *struct{ Type string } `json:"response_format"`
}

// texts is a text or a list of them.
type texts []string

func (t *texts) UnmarshalJSON(raw []byte) error {
	var one *string
	if json.Unmarshal(raw, &one) == nil {
		if one != nil {
			*t = texts{*one}
		}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

// mostStops is more than the stop words that anybody needs; each costs time at
// each token.
const mostStops = 16

// readTimeout is the time that a client has to send its request's body.
const readTimeout = time.Minute

// read decodes the body into v and checks what is common to all requests.
func read(w http.ResponseWriter, r *http.Request, v any, c *common) error {
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(readTimeout))
	body, err := io.ReadAll(r.Body)
	control.SetReadDeadline(time.Time{}) // from here on reads only tell whether the client is there
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return err
		}
		return bad("the request could not be read: %v", err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return bad("the request is no JSON as wanted: %v", err)
	}
	switch {
	case c.N != nil && *c.N < 1:
		return bad("n is %d, want 1 or more", *c.N)
	case c.FrequencyPenalty != 0 || c.PresencePenalty != 0:
		return bad("frequency_penalty and presence_penalty are not supported; there is repetition_penalty")
	case len(c.LogitBias) > 0:
		return bad("logit_bias is not supported")
	case c.ResponseFormat != nil && c.ResponseFormat.Type != "" && c.ResponseFormat.Type != "text":
		return bad("response_format %s is not supported, want text", c.ResponseFormat.Type)
	case len(c.Stop) > mostStops:
		return bad("stop has %d texts, want at most %d", len(c.Stop), mostStops)
	case slices.Contains(c.Stop, ""):
		return bad("stop has an empty text")
	}
	return nil
}

// request returns what the generator is asked. logprobs is as in
// model.Sampling.
func (s *Server) request(c *common, logprobs int) (generate.Request, error) {
	i, err := s.model(c.Model)
	if err != nil {
		return generate.Request{}, err
	}
	r := generate.Request{Model: i, N: 1, Sampling: c.Over(s.Sampling), StopWords: c.Stop}
	r.Sampling.Logprobs = logprobs
	if c.Seed == nil {
		r.Sampling.Seed = rand.Int64()
	}
	if c.N != nil {
		r.N = *c.N
	}
	r.Sampling.MaxTokens = s.MaxTokens
	for _, said := range []*int{c.MaxTokens, c.MaxCompletionTokens} {
		switch {
		case said == nil:
		case *said < 1 || s.MaxTokens > 0 && *said > s.MaxTokens:
			most := ""
			if s.MaxTokens > 0 {
				most = fmt.Sprintf(" to %d, the limit of this server", s.MaxTokens)
			}
			return r, bad("max_tokens is %d, want a number from 1%s", *said, most)
		default:
			r.Sampling.MaxTokens = *said
		}
	}
	if err := r.Sampling.Check(); err != nil {
		return r, bad("%v", err)
	}
	return r, nil
}

// conversation reads messages and tools as a dataset's row has them, and so as
// they were trained on.
func conversation(messages, tools json.RawMessage) (*template.Conversation, error) {
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(messages, &list); err != nil || len(list) == 0 {
		return nil, bad(`messages is %.40s, want a list of {"role": …, "content": …}`, orNothing(messages))
	}
	for _, m := range list {
		if string(m["role"]) == `"developer"` { // OpenAI's newer word
			m["role"] = json.RawMessage(`"system"`)
		}
	}
	row := map[string]any{"messages": list}
	if tools != nil {
		row["tools"] = tools
	}
	text, err := json.Marshal(row)
	if err != nil {
		return nil, bad("messages: %v", err)
	}
	parsed, err := dataset.ParseRow(text, nil)
	if err != nil {
		return nil, bad("%v", err)
	}
	if parsed.HasImages() {
		return nil, bad(`messages have content of type "image_url" or "image", and the models here read text`)
	}
	return &parsed.Conversation, nil
}

func orNothing(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "missing"
	}
	return string(raw)
}

// usage is how many tokens a request has cost.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

func (u *usage) add(prompt, completion int) {
	u.PromptTokens += prompt
	u.CompletionTokens += completion
	u.TotalTokens += prompt + completion
}

func finish(e model.Ending) *string {
	if e == "" {
		return nil
	}
	s := string(e)
	return &s
}
