package builtin

import (
	"fmt"
	"strings"

	"swiftgo/api"
)

// kimiK3 is the family of Kimi K3: every message, call and argument is opened
// and closed by tokens, with attributes in between.
var kimiK3 = agent{
	tools: func(tools []*object, p *api.ToolPrompt) (string, error) {
		all := make([]any, len(tools))
		for i, t := range tools {
			all[i] = deepSorted(wrapped(t))
		}
		system := "role=\"system\" type=\"tool-declare\"<|sep|># Tools\nHere are the available tools, described in JSONSchema.\n\n```json\n" +
			dumpsWith(all, dumpStyle{comma: ",", colon: ":"}) + "\n```"
		if s := systemOf(p); s != "" {
			system += `<|close|>message<|sep|><|end_of_msg|><|open|>message role="system"<|sep|>` + s
		}
		return system, nil
	},
	call: func(i int, name string, arguments any) (string, error) {
		body := func(text string) string {
			return fmt.Sprintf(`<|open|>call tool="%s" index="%d"<|sep|>%s<|close|>call<|sep|>`, attribute.Replace(name), i+1, text)
		}
		o, ok := arguments.(*object)
		if !ok {
			return body(`<|open|>json type="object"<|sep|>` + textOr(arguments) + "<|close|>json<|sep|>"), nil
		}
		var b strings.Builder
		for _, key := range o.keys {
			v := o.get(key)
			fmt.Fprintf(&b, `<|open|>argument key="%s" type="%s"<|sep|>%s<|close|>argument<|sep|>`, attribute.Replace(key), kimiType(v), textOr(v))
		}
		return body(b.String()), nil
	},
	calls: func(parts []string) string {
		return "<|open|>tools<|sep|>" + strings.Join(parts, "") + "<|close|>tools<|sep|>"
	},
	results: func(r *api.ToolResults) ([]string, error) {
		called := kimiNames.FindAllStringSubmatch(r.Assistant, -1)
		prompt := []string{"<|close|>message<|sep|><|end_of_msg|>"}
		for i, x := range r.Results {
			name := x.Name
			if i < len(called) { // the results come in the order of the calls
				name = unattribute.Replace(called[i][1])
			}
			prompt = append(prompt, fmt.Sprintf(`<|open|>message role="tool" tool="%s" index="%d"<|sep|>%s<|close|>message<|sep|><|end_of_msg|>`, attribute.Replace(name), i+1, x.Content))
		}
		return append(prompt, `<|open|>message role="assistant"<|sep|>`), nil
	},
	parse: func(text string) (calls []api.ToolCall, _ []error) {
		for _, m := range kimiK3Call.FindAllStringSubmatch(text, -1) {
			calls = append(calls, newCall(unattribute.Replace(m[1]), kimiArguments(m[2])))
		}
		return calls, nil
	},
	join: func(before string) string {
		if before == "" { // else the text has closed the response
			return "<|close|>response<|sep|>"
		}
		return ""
	},
}

var (
	kimiK3Call   = matcher(`<\|open\|>call tool="(.*?)"(?: index="\d+")?<\|sep\|>(.*?)<\|close\|>call<\|sep\|>`)
	kimiArgument = matcher(`<\|open\|>argument key="(.*?)" type="(.*?)"<\|sep\|>(.*?)<\|close\|>argument<\|sep\|>`)
	kimiJSON     = matcher(`<\|open\|>json type="object"<\|sep\|>(.*?)<\|close\|>json<\|sep\|>`)
	kimiNames    = matcher(`<\|open\|>call tool="(.*?)" index="\d+"<\|sep\|>`)

	attribute   = strings.NewReplacer("&", "&amp;", `"`, "&quot;")
	unattribute = strings.NewReplacer("&quot;", `"`, "&amp;", "&")
)

// kimiArguments reads the inside of a call.
func kimiArguments(text string) any {
	if m := kimiJSON.FindStringSubmatch(text); m != nil {
		return valueOr(m[1])
	}
	arguments := &object{}
	for _, m := range kimiArgument.FindAllStringSubmatch(text, -1) {
		var v any
		switch m[2] {
		case "null":
		case "string":
			v = m[3]
		default:
			v = valueOr(m[3])
		}
		arguments.set(unattribute.Replace(m[1]), v)
	}
	return arguments
}

func kimiType(v any) string {
	switch v.(type) {
	case bool:
		return "boolean"
	case nil:
		return "null"
	case number:
		return "number"
	case string:
		return "string"
	case *object:
		return "object"
	}
	return "array"
}

// deepSorted returns v with the keys of all its objects sorted.
func deepSorted(v any) any {
	switch x := v.(type) {
	case []any:
		items := make([]any, len(x))
		for i, item := range x {
			items[i] = deepSorted(item)
		}
		return items
	case *object:
		o := &object{}
		for _, key := range x.sorted() {
			o.set(key, deepSorted(x.get(key)))
		}
		return o
	}
	return v
}
