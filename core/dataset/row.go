package dataset

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"swiftgo/api"
	"swiftgo/core/template"
)

// rowError says what is wrong with a row: in a few words that many rows may
// share, and in full.
type rowError struct{ reason, text string }

func (e *rowError) Error() string { return e.text }

func bad(reason, format string, args ...any) error {
	return &rowError{reason, fmt.Sprintf(format, args...)}
}

// columns are the columns of a row by name.
type columns map[string]json.RawMessage

// ParseRow reads a row of JSON in the layout that its columns show, after they
// have been renamed. Its errors are *rowError.
func ParseRow(data []byte, rename map[string]string) (Row, error) {
	if !utf8.Valid(data) {
		return Row{}, bad("not UTF-8", "the row is not UTF-8")
	}
	if at := loneSurrogate(data); at >= 0 {
		return Row{}, bad("half a character", "byte %d is the escape %s, half a character without the other half", at, data[at:at+6])
	}
	var cols columns
	if err := json.Unmarshal(data, &cols); err != nil || cols == nil {
		return Row{}, notObject(data, err)
	}
	return cols.row(rename)
}

// loneSurrogate returns where in JSON an escape \ud800 to \udfff stands that is
// not half of a pair, or -1. Go would read it as another character.
func loneSurrogate(data []byte) int {
	if !bytes.Contains(data, []byte(`\ud`)) && !bytes.Contains(data, []byte(`\uD`)) {
		return -1
	}
	unit := func(at int) rune {
		if at+6 > len(data) || data[at] != '\\' || data[at+1] != 'u' {
			return 0
		}
		n, err := strconv.ParseUint(string(data[at+2:at+6]), 16, 16)
		if err != nil {
			return 0
		}
		return rune(n)
	}
	for i := 0; i+1 < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		if u := unit(i); utf16.IsSurrogate(u) {
			if utf16.DecodeRune(u, unit(i+6)) == utf8.RuneError {
				return i
			}
			i += 6
		}
		i++ // what is escaped
	}
	return -1
}

// row reads the columns.
func (cols columns) row(rename map[string]string) (Row, error) {
	for _, from := range slices.Sorted(maps.Keys(rename)) {
		if value, ok := cols[from]; ok && rename[from] != from {
			delete(cols, from)
			cols[rename[from]] = value
		}
	}
	if string(cols["rejected_response"]) == "null" {
		return Row{}, bad("nothing is rejected", "rejected_response is null, want the answer that is worse, or no such column")
	}
	for name, value := range cols {
		if string(value) == "null" {
			delete(cols, name)
		}
	}
	images, err := cols.images()
	if err != nil {
		return Row{}, err
	}
	row, err := cols.conversation(&images)
	if err != nil {
		return Row{}, err
	}
	if row.Rejected, err = cols.rejected(row.Messages, &images); err != nil {
		return Row{}, err
	}
	if images != nil {
		cols["images"], _ = json.Marshal(images) // texts and bytes cannot fail
	}
	if row.Tools, err = ParseTools(cols["tools"]); err != nil {
		return Row{}, err
	}
	delete(cols, "tools")
	if len(cols) > 0 {
		row.Columns = make(map[string]any, len(cols))
	}
	for name, raw := range cols {
		var value any
		if err := json.Unmarshal(raw, &value); err != nil { // a number beyond float64
			return Row{}, bad("number too large", "column %s: %v", name, err)
		}
		row.Columns[name] = value
	}
	return row, nil
}

// HasImages reports whether the row has images, which no model here sees.
func (r *Row) HasImages() bool {
	list, _ := r.Columns["images"].([]any)
	return len(list) > 0
}

// image is an image as datasets of transformers have it.
type image struct {
	Bytes []byte  `json:"bytes"`
	Path  *string `json:"path"`
}

// images takes out the columns of images: one or a list, of paths or as they are
// here.
func (cols columns) images() ([]image, error) {
	var images []image
	for _, name := range []string{"image", "images"} {
		raw, ok := cols[name]
		if !ok {
			continue
		}
		delete(cols, name)
		if images == nil {
			images = []image{} // a column that is there and empty
		}
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			list = []json.RawMessage{raw}
		}
		for i, raw := range list {
			var x image
			if json.Unmarshal(raw, &x.Path) != nil && json.Unmarshal(raw, &x) != nil {
				return nil, bad("bad image", "%s[%d] is %.40s, want a path", name, i, raw)
			}
			images = append(images, x)
		}
	}
	return images, nil
}

// rejected returns the conversation that is worse than messages, nil if the row
// has none: other messages in the place of those after the user's last.
func (cols columns) rejected(messages []template.Message, images *[]image) (*template.Conversation, error) {
	if raw, ok := cols["rejected_messages"]; ok {
		all, err := parseMessages("rejected_messages", raw, images)
		return &template.Conversation{Messages: all}, err
	}
	raw, ok := cols["rejected_response"]
	if !ok {
		return nil, nil
	}
	kept := len(messages)
	for kept > 0 && messages[kept-1].Role != template.User {
		kept--
	}
	var worse []template.Message
	var text string
	if json.Unmarshal(raw, &text) == nil {
		worse = []template.Message{{Role: template.Assistant, Content: text}}
	} else {
		var err error
		if worse, err = parseMessages("rejected_response", raw, images); err != nil {
			return nil, err
		}
	}
	if slices.ContainsFunc(worse, func(m template.Message) bool { return m.Role == template.User }) {
		return nil, bad("the user is rejected", "rejected_response has a message of the user, want only what comes after the last one")
	}
	if slices.Equal(worse, messages[kept:]) {
		return nil, bad("the answer is rejected", "rejected_response is the same as the answer, %.40q", worse[0].Content)
	}
	return &template.Conversation{Messages: slices.Concat(messages[:kept], worse)}, nil
}

func notObject(data []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return bad("not JSON", "not JSON: %v at byte %d; want one JSON object a line", err, syntax.Offset)
	}
	return bad("not a JSON object", "the row is %.40s, want a JSON object", data)
}

// conversations are the names of the column of messages.
var conversations = []string{messagesColumn, "conversations", "conversation"}

// conversation reads the messages and takes the columns that it read out of
// cols.
func (cols columns) conversation(images *[]image) (Row, error) {
	for _, name := range conversations {
		if raw, ok := cols[name]; ok {
			delete(cols, name)
			return cols.fromMessages(name, raw, images)
		}
	}
	return cols.fromQuery()
}

// fromMessages reads a list of messages.
func (cols columns) fromMessages(name string, raw json.RawMessage, images *[]image) (Row, error) {
	messages, err := parseMessages(name, raw, images)
	if err != nil {
		return Row{}, err
	}
	system, err := cols.take("system", "system", "system_prompt")
	if err != nil {
		return Row{}, err
	}
	if system != nil && messages[0].Role != template.System {
		messages = slices.Insert(messages, 0, template.Message{Role: template.System, Content: *system})
	}
	return Row{Conversation: template.Conversation{Messages: messages}}, nil
}

// fromQuery reads a question, its answer and what came before; in the Alpaca
// layout the question has two columns.
func (cols columns) fromQuery() (Row, error) {
	var query, input *string
	var err error
	_, hasInstruction := cols["instruction"]
	_, hasInput := cols["input"]
	if hasInstruction && hasInput {
		if query, err = cols.take("instruction", "instruction"); err == nil {
			input, err = cols.take("input", "input")
		}
		if input != nil && *input != "" {
			joined := *query + "\n" + *input
			query = &joined
		}
	} else {
		query, err = cols.take("query", queries...)
	}
	if err != nil {
		return Row{}, err
	}
	if both := cols.named(queries...); query == nil && len(both) > 1 {
		return Row{}, bad("two questions", "any of the columns %s could be the query; name the one that is it query, or give --columns", strings.Join(both, ", "))
	}
	response, err := cols.take("response", responses...)
	if err != nil {
		return Row{}, err
	}
	system, err := cols.take("system", "system", "system_prompt")
	if err != nil {
		return Row{}, err
	}
	messages, err := cols.history()
	if err != nil {
		return Row{}, err
	}
	if system != nil {
		messages = slices.Insert(messages, 0, template.Message{Role: template.System, Content: *system})
	}
	if query != nil {
		messages = append(messages, template.Message{Role: template.User, Content: *query})
	}
	if response != nil {
		messages = append(messages, template.Message{Role: template.Assistant, Content: *response})
	}
	if len(messages) == 0 {
		return Row{}, bad("no messages", "there is no column messages, nor query or response; the columns are %s", cols)
	}
	return Row{Conversation: template.Conversation{Messages: messages}}, nil
}

// queries and responses are the names of the columns of questions and answers.
var queries = []string{"query", "prompt", "input", "instruction", "question", "problem"}

var responses = []string{"response", "answer", "output", "targets", "target", "answer_key", "answers", "solution", "text", "completion", "content"}

// take returns the text of a column that goes by one of several names, nil if
// there is none, and takes it out. Of several columns none is meant, unless one
// has the name itself. Rewards want the solution, so it stays.
func (cols columns) take(name string, aliases ...string) (*string, error) {
	found := cols.named(aliases...)
	if slices.Contains(found, name) {
		found = []string{name}
	}
	if len(found) != 1 {
		return nil, nil
	}
	raw := cols[found[0]]
	if found[0] != "solution" {
		delete(cols, found[0])
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		raw = list[0] // of several answers the first is trained on
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, bad(name+" is not text", "%s is %.40s, want text", found[0], raw)
	}
	return &text, nil
}

// named returns the columns that go by one of the names, in any case, in order.
func (cols columns) named(names ...string) []string {
	var found []string
	for column := range cols {
		if slices.Contains(names, strings.ToLower(column)) {
			found = append(found, column)
		}
	}
	slices.Sort(found)
	return found
}

// String lists the names of the columns.
func (cols columns) String() string {
	if len(cols) == 0 {
		return "none"
	}
	var names []string
	for name := range cols {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// history reads the rounds before the question: a list of pairs.
func (cols columns) history() ([]template.Message, error) {
	raw, ok := cols["history"]
	if !ok {
		return nil, nil
	}
	delete(cols, "history")
	var pairs [][]*string
	if err := json.Unmarshal(literal(raw), &pairs); err != nil {
		return nil, bad("history is no list of pairs", "history is %.40s, want a list of [query, response]", raw)
	}
	var messages []template.Message
	for i, pair := range pairs {
		if len(pair) != 2 || pair[0] == nil || pair[1] == nil {
			return nil, bad("history is no list of pairs", "history[%d] has %d texts, want [query, response]", i, len(pair))
		}
		messages = append(messages, template.Message{Role: template.User, Content: *pair[0]}, template.Message{Role: template.Assistant, Content: *pair[1]})
	}
	return messages, nil
}

// ParseTools reads the column of tools: a list of objects or of their text, or
// the text of such a list.
func ParseTools(raw json.RawMessage) ([]api.Tool, error) {
	if raw == nil {
		return nil, nil
	}
	raw = literal(raw)
	if len(raw) == 0 {
		return nil, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, bad("tools is no list", "tools is %.40s, want a list of objects", raw)
	}
	var tools []api.Tool
	for i, raw := range list {
		tool, err := ParseTool(literal(raw))
		if err != nil {
			return nil, bad("bad tool", "tools[%d] %v", i, err)
		}
		tools = append(tools, tool)
	}
	return tools, nil
}

// ParseTool reads a tool in OpenAI's way, or only its function. The error does
// not say whose it is.
func ParseTool(raw json.RawMessage) (api.Tool, error) {
	type function struct {
		Name        string
		ForModel    string `json:"name_for_model"` // as Qwen's first models had it
		Description string
		Parameters  json.RawMessage
	}
	var outer struct {
		Type     json.RawMessage
		Function *function
		function
	}
	if err := json.Unmarshal(raw, &outer); err != nil || raw[0] != '{' {
		return api.Tool{}, fmt.Errorf("is %.60s, want an object with name, description and parameters", raw)
	}
	f, text := outer.Function, raw
	if f == nil {
		f = &outer.function
		if outer.Type == nil {
			text = json.RawMessage(`{"type": "function", "function": ` + string(raw) + `}`)
		}
	}
	name := cmp.Or(f.ForModel, f.Name)
	if name == "" {
		return api.Tool{}, errors.New("has no name")
	}
	return api.Tool{Name: name, Description: f.Description, Parameters: f.Parameters, JSON: text}, nil
}

// answered reports whether there is something that the assistant said.
func answered(messages []template.Message) bool {
	return slices.ContainsFunc(messages, func(m template.Message) bool {
		return m.Role == template.Assistant || m.Role == template.ToolCall
	})
}

func noAnswer(row Row) error {
	cols := columns{}
	for name := range row.Columns {
		cols[name] = nil
	}
	if both := cols.named(responses...); len(both) > 1 {
		return bad("no message of the assistant", "any of the columns %s could be the response; name the one that is it response, or give --columns", strings.Join(both, ", "))
	}
	return bad("no message of the assistant", "there is no message of the assistant to train on")
}
