package builtin

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"swiftgo/api"
)

// gemma4 is the family of Gemma 4, which writes schemas and arguments in a
// notation of its own: sorted bare keys, and strings between the mark gemmaQuote.
var gemma4 = agent{
	tools: func(tools []*object, p *api.ToolPrompt) (string, error) {
		var b strings.Builder
		b.WriteString(strings.TrimSpace(systemOf(p)))
		for i, t := range tools {
			text, err := gemmaDeclaration(wrapped(t))
			if err != nil {
				return "", fmt.Errorf("tools[%d]: %w", i, err)
			}
			b.WriteString("<|tool>" + text + "<tool|>")
		}
		return b.String(), nil
	},
	call: func(_ int, name string, arguments any) (string, error) {
		text := "{}"
		if o, ok := arguments.(*object); ok {
			text = gemmaValue(o, false)
		}
		return "<|tool_call>call:" + name + text + "<tool_call|>", nil
	},
	calls: func(parts []string) string { return strings.Join(parts, "") },
	results: func(r *api.ToolResults) ([]string, error) {
		r.Assistant = strings.TrimSuffix(r.Assistant, "<|tool_response>")
		var b strings.Builder
		for _, x := range r.Results {
			name := x.Name
			if name == "" {
				name = "unknown"
			}
			b.WriteString("<|tool_response>response:" + name + "{value:" + gemmaValue(x.Content, false) + "}<tool_response|>")
		}
		return []string{b.String()}, nil
	},
	parse: func(text string) (calls []api.ToolCall, failed []error) {
		for _, m := range gemmaCall.FindAllStringSubmatch(text, -1) {
			arguments, err := gemmaArguments("{" + m[2] + "}")
			if err != nil {
				failed = append(failed, fmt.Errorf("the arguments of %s: %w", m[1], err))
				arguments = &object{}
			}
			calls = append(calls, newCall(m[1], arguments))
		}
		return calls, failed
	},
}

const gemmaQuote = `<|"|>`

var (
	gemmaCall = matcher(`<\|tool_call>call:([^\{]+)\{(.*?)\}<tool_call\|>`)
	gemmaKey  = regexp.MustCompile(`([{,]\s*)([^\s{}\[\],:"]+)\s*:`)
)

// gemmaArguments turns the notation into JSON: what is between two quotes is a
// string, and elsewhere keys are bare.
func gemmaArguments(text string) (*object, error) {
	var b strings.Builder
	for i, piece := range strings.Split(text, gemmaQuote) {
		if i%2 == 1 {
			pythonString(&b, piece)
		} else {
			b.WriteString(gemmaKey.ReplaceAllString(piece, `$1"$2":`))
		}
	}
	return decodeObject([]byte(b.String()))
}

// gemmaValue writes a value; within schemas keys are quoted as strings are.
func gemmaValue(v any, quoteKeys bool) string {
	switch x := v.(type) {
	case string:
		return gemmaQuote + x + gemmaQuote
	case []any:
		parts := make([]string, len(x))
		for i, item := range x {
			parts[i] = gemmaValue(item, quoteKeys)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case *object:
		var parts []string
		for _, key := range x.sorted() {
			value := gemmaValue(x.get(key), quoteKeys)
			if quoteKeys {
				key = gemmaQuote + key + gemmaQuote
			}
			parts = append(parts, key+":"+value)
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	return dumps(v)
}

func gemmaDeclaration(tool *object) (string, error) {
	function, err := objectAt(tool, "function")
	if err != nil {
		return "", err
	}
	description := ""
	if v := function.get("description"); truthy(v) {
		description = pythonStr(v)
	}
	name := ""
	if function.has("name") {
		name = pythonStr(function.get("name"))
	}
	text := "declaration:" + name + "{description:" + gemmaQuote + description + gemmaQuote
	if truthy(function.get("parameters")) {
		parameters, err := objectAt(function, "parameters")
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		var parts []string
		if truthy(parameters.get("properties")) {
			properties, err := objectAt(parameters, "properties")
			if err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			parts = append(parts, "properties:{"+gemmaProperties(properties, false)+"}")
		}
		parts = append(parts, gemmaRequired(parameters)...)
		if kind := parameters.text("type"); kind != "" {
			parts = append(parts, "type:"+gemmaValue(strings.ToUpper(kind), true))
		}
		if parts != nil {
			text += ",parameters:{" + strings.Join(parts, ",") + "}"
		}
	}
	return text + "}", nil
}

// gemmaRequired writes which properties a schema wants, if it says so.
func gemmaRequired(schema *object) []string {
	names, _ := schema.get("required").([]any)
	if len(names) == 0 {
		return nil
	}
	return []string{"required:" + gemmaNames(names)}
}

func gemmaNames(names []any) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = gemmaQuote + pythonStr(name) + gemmaQuote
	}
	return "[" + strings.Join(parts, ",") + "]"
}

// gemmaProperties writes the properties of a schema; with bare they stand in
// the schema itself, among its own keys.
func gemmaProperties(properties *object, bare bool) string {
	var parts []string
	for _, key := range properties.sorted() {
		schema, ok := properties.get(key).(*object)
		if !ok || bare && slices.Contains([]string{"description", "type", "properties", "required", "nullable"}, key) {
			continue
		}
		kind := strings.ToUpper(schema.text("type"))
		var inner []string
		if v := schema.get("description"); truthy(v) {
			inner = append(inner, "description:"+gemmaQuote+pythonStr(v)+gemmaQuote)
		}
		switch kind {
		case "STRING":
			if v := schema.get("enum"); truthy(v) {
				inner = append(inner, "enum:"+gemmaValue(v, true))
			}
		case "ARRAY":
			if items, ok := schema.get("items").(*object); ok && truthy(items) {
				inner = append(inner, "items:{"+gemmaItems(items)+"}")
			}
		}
		if truthy(schema.get("nullable")) {
			inner = append(inner, "nullable:true")
		}
		if kind == "OBJECT" {
			if nested, ok := schema.get("properties").(*object); ok {
				inner = append(inner, "properties:{"+gemmaProperties(nested, false)+"}")
			} else {
				inner = append(inner, "properties:{"+gemmaProperties(schema, true)+"}")
			}
			inner = append(inner, gemmaRequired(schema)...)
		}
		parts = append(parts, key+":{"+strings.Join(append(inner, "type:"+gemmaQuote+kind+gemmaQuote), ",")+"}")
	}
	return strings.Join(parts, ",")
}

// gemmaItems writes the schema of the items of an array.
func gemmaItems(items *object) string {
	var parts []string
	for _, key := range items.sorted() {
		v := items.get(key)
		text := gemmaValue(v, true)
		switch x := v.(type) {
		case nil:
			continue
		case *object:
			if key == "properties" {
				text = "{" + gemmaProperties(x, false) + "}"
			}
		case []any:
			switch key {
			case "required":
				text = gemmaNames(x)
			case "type":
				kinds := make([]any, len(x))
				for i, kind := range x {
					kinds[i] = strings.ToUpper(pythonStr(kind))
				}
				text = gemmaValue(kinds, true)
			}
		case string:
			if key == "type" {
				text = gemmaValue(strings.ToUpper(x), true)
			}
		}
		parts = append(parts, key+":"+text)
	}
	return strings.Join(parts, ",")
}
