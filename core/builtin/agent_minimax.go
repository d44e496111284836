package builtin

import (
	"strings"

	"swiftgo/api"
)

// miniMaxM3 is the family of MiniMax M3: arguments are XML all the way down,
// with a token before each tag. None and missing are the same to it.
var miniMaxM3 = agent{
	tools: listed(inner, "", miniMaxTools, "<tool>%s</tool>", `
</tools>

To call tools, wrap all invocations in a single `+m3("<tool_call></tool_call>")+` block. Parameter values containing nested objects or arrays are recursively expanded into XML elements. Example:

`+m3(`<tool_call>
<invoke name="tool-name-1"><param-1>value-1</param-1><param-2><item><key-a>val-a</key-a><key-b>val-b</key-b></item></param-2></invoke>
<invoke name="tool-name-2"><param-1>value-1</param-1></invoke>
</tool_call>`)),
	call: func(_ int, name string, arguments any) (string, error) {
		if !truthy(arguments) {
			arguments = &object{}
		}
		o, err := asObject(arguments)
		if err != nil {
			return "", err
		}
		return m3Mark + `<invoke name="` + name + `">` + m3Value(o) + m3Mark + "</invoke>", nil
	},
	calls: func(parts []string) string {
		return m3("<tool_call>\n") + strings.Join(parts, "\n") + "\n" + m3("</tool_call>")
	},
	results: miniMaxResults(api.Chat{Prompt: []string{"]~b]tool\n{{QUERY}}[e~[\n]~b]ai\n"}, Separator: []string{"[e~[\n"}}),
	parse: func(text string) (calls []api.ToolCall, _ []error) {
		for _, block := range m3Block.FindAllStringSubmatch(text, -1) {
			for _, m := range m3Call.FindAllStringSubmatch(block[1], -1) {
				calls = append(calls, newCall(m[1], m3Object(m[2])))
			}
		}
		return calls, nil
	},
}

const m3Mark = "]<]minimax[>["

// m3 puts the mark before every tag.
func m3(text string) string { return strings.ReplaceAll(text, "<", m3Mark+"<") }

const m3Pattern = `\]<\]minimax\[>\[`

var (
	m3Block = matcher(m3Pattern + `<tool_call>(.*?)` + m3Pattern + `</tool_call>`)
	m3Call  = matcher(m3Pattern + `<invoke\s+name="([^"]+)">(.*?)` + m3Pattern + `</invoke>`)
	m3Tag   = matcher(m3Pattern + `<([^/!?\s>]+)>`)
	m3Item  = matcher(m3Pattern + `<item>(.*?)` + m3Pattern + `</item>`)
)

func m3Value(v any) string {
	var b strings.Builder
	element := func(name string, v any) {
		b.WriteString(m3Mark + "<" + name + ">" + m3Value(v) + m3Mark + "</" + name + ">")
	}
	switch x := v.(type) {
	case nil:
	case bool:
		return dumps(x)
	case []any:
		for _, item := range x {
			element("item", item)
		}
	case *object:
		for _, key := range x.keys {
			if v := x.get(key); v != nil {
				element(key, v)
			}
		}
	default:
		return pythonStr(v)
	}
	return b.String()
}

// m3Parse reads what m3Value wrote, as well as that can be read: an empty text
// may have been anything that is empty.
func m3Parse(text string) any {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, m3Mark+"<item>") {
		var items []any
		for _, m := range m3Item.FindAllStringSubmatch(text, -1) {
			items = append(items, m3Parse(m[1]))
		}
		return items
	}
	if strings.HasPrefix(text, m3Mark+"<") {
		if o := m3Object(text); len(o.keys) > 0 {
			return o
		}
	}
	return jsonOr(text)
}

// m3Object reads elements next to each other, up to one that does not end.
func m3Object(text string) *object {
	o := &object{}
	for {
		at := m3Tag.FindStringSubmatchIndex(text)
		if at == nil {
			return o
		}
		name := text[at[2]:at[3]]
		inner, rest, ok := m3Inside(text[at[1]:], m3Mark+"<"+name+">", m3Mark+"</"+name+">")
		if !ok {
			return o
		}
		o.set(name, m3Parse(inner))
		text = rest
	}
}

// m3Inside returns the text up to the end tag of an element that has begun, and
// what comes after it. Elements of that name may be within it.
func m3Inside(text, begin, end string) (inner, rest string, ok bool) {
	at := 0
	for depth := 1; depth > 0; {
		next := strings.Index(text[at:], end)
		if next < 0 {
			return "", "", false
		}
		if open := strings.Index(text[at:], begin); open >= 0 && open < next {
			depth++
			at += open + len(begin)
		} else {
			depth--
			at += next + len(end)
		}
	}
	return text[:at-len(end)], text[at:], true
}
