package builtin

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxAnswerText is how much of the end of an answer is searched for its result, in bytes.
const maxAnswerText = 1 << 17

// A mathResult is what an answer comes to: a text, and the formula that it is if it
// can be read.
type mathResult struct {
	text    string
	formula formula
	ok      bool
}

// readMath reads a piece of LaTeX, or of plain text, unless it is too long for one.
func readMath(text string) mathResult {
	if len(text) > maxMathText {
		return mathResult{text: text}
	}
	r := mathResult{text: tidyLatex(text)}
	r.formula, r.ok = parseLatex(r.text)
	return r
}

// is reports whether r is the result that is wanted. Where that is no equation, of
// an equation its last side counts, as Math-Verify has it.
func (r mathResult) is(wanted mathResult, places int) bool {
	if r.text == wanted.text {
		return r.text != ""
	}
	if !r.ok || !wanted.ok {
		return false
	}
	f := r.formula
	if isEquation(f) && !isEquation(wanted.formula) {
		f = f.args[len(f.args)-1]
	}
	return sameFormula(wanted.formula, f, places)
}

// A mathPlace is a place in a text where a result may be.
type mathPlace struct {
	start, end int
	parts      []string // pieces of LaTeX, or of plain text
	percents   []bool   // whether "percent" follows a part
	box        bool     // whether it is what follows a \boxed outside of formulas
	plain      bool     // whether it is a number or a sum in plain text
}

// resultOf finds the result of an answer as Math-Verify's parse does in the mode
// first_match: of the best kind of place that there is, the last one in the text.
// The kinds are, best first: after "final answer is", before "I hope"; after "final
// answer … is", and boxes; after "answer:"; after "answer"; any formula or number.
func resultOf(text string) (mathResult, bool) {
	text = searched(text)
	for _, find := range []func(string) []mathPlace{
		func(t string) []mathPlace { return slices.Concat(finalAnswers(t, true), plainNumbers(t, 0)) },
		func(t string) []mathPlace { return slices.Concat(finalAnswers(t, false), boxes(t), plainNumbers(t, 1)) },
		func(t string) []mathPlace { return slices.Concat(answers(t, ":"), plainNumbers(t, 2)) },
		func(t string) []mathPlace { return slices.Concat(answers(t, ""), plainNumbers(t, 3)) },
		func(t string) []mathPlace { return slices.Concat(formulas(t), plainNumbers(t, 4)) },
	} {
		if best, ok := lastPlace(find(text)); ok {
			return best.result(true), true
		}
	}
	return mathResult{}, false
}

// anchoredResultOf finds the result of an answer that is marked as one: a box, or a
// formula after the word answer. ms-swift reads completions without an answer tag so.
func anchoredResultOf(text string) (mathResult, bool) {
	text = searched(text)
	for _, find := range []func(string) []mathPlace{
		func(t string) []mathPlace { return slices.Concat(finalAnswers(t, true), boxes(t)) },
		func(t string) []mathPlace { return finalAnswers(t, false) },
		func(t string) []mathPlace { return answers(t, ":") },
		func(t string) []mathPlace { return answers(t, "") },
	} {
		if best, ok := lastPlace(find(text)); ok {
			return best.result(false), true
		}
	}
	return mathResult{}, false
}

// searched is the part of a text that is searched for its result.
func searched(text string) string {
	if len(text) > maxAnswerText {
		text = strings.ToValidUTF8(text[len(text)-maxAnswerText:], "")
	}
	return text
}

// lastPlace returns the place that ends last, of those the longest.
func lastPlace(places []mathPlace) (mathPlace, bool) {
	if len(places) == 0 {
		return mathPlace{}, false
	}
	return slices.MinFunc(places, func(a, b mathPlace) int {
		return cmp.Or(cmp.Compare(b.end, a.end), cmp.Compare(a.start, b.start))
	}), true
}

// result reads what is at a place. Where boxes are in formulas, only they count, if
// onlyBoxes is set.
func (p mathPlace) result(onlyBoxes bool) mathResult {
	all := make([]mathResult, len(p.parts))
	for i, part := range p.parts {
		switch {
		case p.box:
			part = boxContents(part, false)
		case onlyBoxes && !p.plain:
			part = boxContents(part, true)
		}
		all[i] = readMath(part)
		if p.percents[i] && all[i].ok && all[i].formula.kind != percentKind {
			all[i].formula = node(percentKind, all[i].formula)
		}
	}
	if len(all) == 1 || slices.ContainsFunc(all, func(r mathResult) bool { return !r.ok }) {
		return all[0]
	}
	together := mathResult{formula: formula{kind: setKind}, ok: true}
	for i, r := range all {
		if i > 0 {
			together.text += " and "
		}
		together.text += r.text
		if r.formula.kind == setKind {
			together.formula.args = append(together.formula.args, r.formula.args...)
		} else {
			together.formula.args = append(together.formula.args, r.formula)
		}
	}
	return together
}

// boxContents returns what is in the boxes of a text, with commas between: in all
// of them, or in the last and those just before it. Without boxes it is the text.
func boxContents(text string, all bool) string {
	var contents []string
	end, next := len(text), -1 // of the text before the last box found; where that starts
	for {
		start := max(strings.LastIndex(text[:end], `\boxed`), strings.LastIndex(text[:end], `\fbox`))
		if start < 0 {
			break
		}
		open := start + strings.IndexByte(text[start+1:], 'x') + 2
		if strings.HasPrefix(text[open:], "ed") {
			open += 2
		}
		rest := strings.TrimLeft(text[open:end], " \t\r\n")
		length, ok := groupLength(rest)
		if !ok {
			if contents == nil {
				contents = append(contents, strings.TrimPrefix(rest, "{"))
			}
			break
		}
		content := strings.TrimSpace(rest[1 : length-1])
		if !all && next >= 0 && !belong(content, contents[len(contents)-1], text[end-len(rest)+length:next]) {
			break
		}
		if contents == nil || contents[len(contents)-1] != content {
			contents = append(contents, content)
		}
		end, next = start, start
	}
	if contents == nil {
		return text
	}
	slices.Reverse(contents)
	return strings.Join(contents, ",")
}

// belong reports whether two boxes with a text between them are one answer.
func belong(first, second, between string) bool {
	n := utf8.RuneCountInString(between)
	return n < 10 || n < 70 && first != second && separator.MatchString(between)
}

var separator = regexp.MustCompile(`\b(and|or)\b|,|;`)

// groupLength is how long the group in braces is that s starts with.
func groupLength(s string) (int, bool) {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth <= 0 {
			return i + 1, i > 0
		}
	}
	return 0, false
}

// formulas returns the formulas in a text. Up to six with commas, "and" or "or"
// between are one place.
func formulas(text string) []mathPlace { return formulasIn(text, false) }

// boxes returns the formulas with a box in them, and the box outside of formulas:
// from the first \boxed{ to the last brace.
func boxes(text string) []mathPlace {
	all := formulasIn(text, true)
	if start := strings.Index(text, `\boxed{`); start >= 0 {
		if end := strings.LastIndexByte(text, '}'); end > start+len(`\boxed{`) {
			all = append(all, mathPlace{start, end + 1, []string{text[start : end+1]}, []bool{false}, true, false})
		}
	}
	return all
}

func formulasIn(text string, boxed bool) []mathPlace {
	var all []mathPlace
	for i := 0; i < len(text); i++ {
		if p, ok := formulaAt(text, i, boxed); ok {
			all = append(all, p)
			i = p.end - 1
		}
	}
	return all
}

// formulaAt returns the place that starts with a formula at i.
func formulaAt(text string, i int, boxed bool) (mathPlace, bool) {
	p := mathPlace{start: i}
	end, ok := p.add(text, i, boxed)
	if !ok {
		return p, false
	}
	for len(p.parts) < 6 {
		between := conjunction.FindString(text[end:])
		if between == "" {
			break
		}
		next, ok := p.add(text, end+len(between), boxed)
		if !ok {
			break
		}
		end = next
	}
	p.end = end
	return p, true
}

var conjunction = regexp.MustCompile(`^\s*(?:,?and|,?or|,)\s*`)

// add adds the formula that starts at i, and returns where it ends.
func (p *mathPlace) add(text string, i int, boxed bool) (int, bool) {
	content, end := delimited(text, i, boxed)
	if content == "" || boxed && !boxedSomething.MatchString(content) {
		return i, false
	}
	percent := percentAfter.FindStringSubmatch(text[end:])
	p.parts, p.percents = append(p.parts, content), append(p.percents, percent[1] != "")
	return end + len(percent[0]), true
}

var (
	boxedSomething = regexp.MustCompile(`(?s)\\boxed\{.+\}`)
	percentAfter   = regexp.MustCompile(`^\s*(\\?%|[Pp]ercent(?:age)?|[Pp]ct)?`)
	simpleFraction = regexp.MustCompile(`^-?\\frac\{-?\d+(?:[.,]\d+)?\}\{-?\d+(?:[.,]\d+)?\}`)
	plainBrackets  = regexp.MustCompile(`^\s\[([^\n\[\]]+)\]\s`)
)

// delimited returns what is in the formula that starts at i, and where that ends:
// one between $$, \[ \], $, \( \), or [ ] with spaces around, or a bare \frac of
// numbers. Those in a line end on it.
func delimited(text string, i int, boxed bool) (content string, end int) {
	if i >= len(text) {
		return "", i
	}
	s := text[i:]
	escaped := i > 0 && text[i-1] == '\\'
	switch {
	case escaped:
	case strings.HasPrefix(s, "$$"):
		if n := strings.Index(s[2:], "$$"); n > 0 {
			return s[2 : 2+n], i + n + 4
		}
	case strings.HasPrefix(s, `\[`):
		if n := strings.Index(s[2:], `\]`); n > 0 && s[n+1] != '\\' {
			return s[2 : 2+n], i + n + 4
		}
	case s[0] == '$' && (i == 0 || !isASCIIDigit(text[i-1])):
		for n := 1; n < len(s) && s[n] != '\n'; n++ {
			if s[n] == '\\' && n+1 < len(s) && s[n+1] == '$' {
				n++
			} else if s[n] == '$' {
				return s[1:n], i + n + 1
			}
		}
	case strings.HasPrefix(s, `\(`):
		if n := strings.Index(s[2:], `\)`); n > 0 && !strings.Contains(s[2:2+n], "\n") {
			return s[2 : 2+n], i + n + 4
		}
	case s[0] == ' ' || s[0] == '\n' || s[0] == '\t':
		if m := plainBrackets.FindStringSubmatch(s); m != nil {
			return m[1], i + len(m[0])
		}
	}
	if (s[0] == '-' || s[0] == '\\') && !boxed {
		m := simpleFraction.FindString(s)
		return m, i + len(m)
	}
	return "", i
}

var (
	finalAnswer = regexp.MustCompile(`(?i)final answer`)
	finalIs     = regexp.MustCompile(`(?i)final answer is:?\s*`)
	isColon     = regexp.MustCompile(`^\s+is:?\s*`)
	iHope       = regexp.MustCompile(`^\.?\s?I hope`)
	answerWord  = regexp.MustCompile(`(?i)answer`)
)

// finalAnswers returns the formulas after "final answer … is", or those after "final
// answer is" and before "I hope".
func finalAnswers(text string, hope bool) []mathPlace {
	var all []mathPlace
	if hope {
		for _, at := range finalIs.FindAllStringIndex(text, -1) {
			if p, ok := formulaAt(text, at[1], false); ok && iHope.MatchString(text[p.end:]) {
				p.start = at[0]
				all = append(all, p)
			}
		}
		return all
	}
	end := 0
	for _, at := range finalAnswer.FindAllStringIndex(text, -1) {
		if at[0] < end {
			continue
		}
		within(text, at[1], 100, func(i int) bool {
			is := isColon.FindString(text[i:])
			if is == "" {
				return false
			}
			p, ok := formulaAt(text, i+len(is), false)
			if ok {
				p.start, end = at[0], p.end
				all = append(all, p)
			}
			return ok
		})
	}
	return all
}

// answers returns the formulas up to 50 characters after "answer" and the mark.
func answers(text, mark string) []mathPlace {
	var all []mathPlace
	end := 0
	for _, at := range answerWord.FindAllStringIndex(text, -1) {
		if at[0] < end || !strings.HasPrefix(text[at[1]:], mark) {
			continue
		}
		within(text, at[1]+len(mark), 50, func(i int) bool {
			p, ok := formulaAt(text, i, false)
			if ok {
				p.start, end = at[0], p.end
				all = append(all, p)
			}
			return ok
		})
	}
	return all
}

// within tries the places up to n characters after i until one will do.
func within(text string, i, n int, try func(i int) bool) {
	for ; n >= 0 && i < len(text) && !try(i); n-- {
		_, size := utf8.DecodeRuneInString(text[i:])
		i += size
	}
}

// plainNumbers returns the numbers and sums in plain text, of the kinds of resultOf
// by their index.
func plainNumbers(text string, kind int) []mathPlace {
	var all []mathPlace
	if kind < 4 && !answerWord.MatchString(text) {
		return nil
	}
	for _, pattern := range plainPatterns[kind] {
		for _, m := range pattern.FindAllStringSubmatchIndex(text, -1) {
			p := mathPlace{start: m[0], end: m[1], plain: true}
			for i, name := range pattern.SubexpNames() {
				if m[2*i] < 0 {
					continue
				}
				part := text[m[2*i]:m[2*i+1]]
				switch name {
				case "sum":
					p.parts, p.percents = []string{part}, []bool{false}
				case "grouped":
					p.parts, p.percents = []string{grouping.Replace(part)}, []bool{false}
				case "number":
					p.parts, p.percents = []string{strings.Replace(part, ",", ".", 1)}, []bool{false}
				case "percent":
					p.percents[0] = true
				}
			}
			all = append(all, p)
		}
	}
	return all
}

var (
	grouping      = strings.NewReplacer(" ", "", ",", "")
	plainPatterns = func() [5][]*regexp.Regexp {
		const (
			before = `(?:^|\s|=)(?:\*\*)?`
			sum    = `(?P<sum>-?\(?-?\d[\d.\s+\-*×/^()÷]*[+\-*×/^()÷][\d.\s+\-*×/^()÷]+\)?)(?:\*\*)?(?:\.|,|:|\s|\)|\$|$)`
			number = `[$€£¥₹₽₪₩₫฿]?(?:(?P<grouped>-?[1-9]\d{0,2}(?:[ ,]\d{3})+(?:\.\d+)?)|(?P<number>-?\d+[.,]\d+|\.\d+|-?\d+))` +
				`(?P<percent>\s*(?:%|[Pp]ercent(?:age)?|[Pp]ct))?`
			either   = `(?:` + before + sum + `|` + before + number + `)`
			noEquals = `(?:[^\s=\d]|\s+[^\s=]|\s*$)`
		)
		compile := func(patterns ...string) (all []*regexp.Regexp) {
			for _, p := range patterns {
				all = append(all, regexp.MustCompile("(?s)"+p))
			}
			return all
		}
		return [5][]*regexp.Regexp{
			compile(`(?i:final answer is):?\s*` + either + `\.?\s?I hope`),
			compile(`(?i:final answer.{0,100}?)\s+is:?` + either),
			compile(`(?i:answer):(?:.{0,100}=\s*|.{0,50}?)` + either + noEquals),
			compile(`(?i:answer)(?:.{0,100}=\s*|.{0,50}?)` + either + noEquals),
			compile(before+sum, before+number),
		}
	}()
)
