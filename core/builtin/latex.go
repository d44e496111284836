package builtin

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Sizes past which a text is not read as mathematics: it then equals only itself.
const (
	maxMathText  = 10_000 // bytes
	maxMathDepth = 150    // groups in groups
)

// tidyLatex takes away from a piece of LaTeX, or of plain text, what changes only
// how it looks, and the unit after it. It follows latex2sympy2_extended's
// normalize_latex, the part of Math-Verify that does this.
func tidyLatex(s string) string {
	if !strings.Contains(s, "matrix") {
		s = doubled.ReplaceAllString(s, `\$1`) // of JSON in JSON
	}
	s = looks.Replace(s)
	s = fonts.ReplaceAllString(s, `\text{`)
	s = negativeSpace.ReplaceAllString(s, "")
	s = bracedComma.ReplaceAllString(s, ",")
	s = andOrText.ReplaceAllString(s, ",")
	s = andOr.ReplaceAllString(s, "$1,$2")
	s = percentWord.ReplaceAllString(s, "%")
	s = infinityWord.ReplaceAllString(s, `$1\infty`)
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	return stripUnit(strings.TrimSpace(s))
}

var (
	looks = strings.NewReplacer(
		"\n", " ", "\r", " ", `"`, "", "€", "", "£", "", "¥", "", "₹", "", "\t", " ", "\u00a0", " ", `\displaystyle`, "", `\textstyle`, "", `\mathrm{th}`, "", `\$`, "", "$", "",
		`\dfrac`, `\frac`, `\tfrac`, `\frac`, `\cfrac`, `\frac`, `\ldots`, " ", `\dots`, " ", "~=", `\approx`,
		`\left\{`, `\{`, `\right\}`, `\}`, `\left.`, "", `\right.`, "")
	doubled       = regexp.MustCompile(`\\\\([a-zA-Z])`)
	fonts         = regexp.MustCompile(`\\(?:math(?:rm|it|bf|sf|tt)|text(?:normal|bf|it|rm|sf|tt)|mbox)\s*\{`)
	negativeSpace = regexp.MustCompile(`\\!\s*`)
	bracedComma   = regexp.MustCompile(`\s*\{\s*,\s*\}`)
	andOrText     = regexp.MustCompile(`,?\s*\\text\{\s*(?:and|or)\s*\}`)
	andOr         = regexp.MustCompile(`(^|[^a-zA-Z\\]),?\s*(?:and|or)([^a-zA-Z]|$)`)
	percentWord   = regexp.MustCompile(`\s*(?:\\text\{\s*)?\b(?:percentage|percent|pct)\b(?:\s*\})?`)
	infinityWord  = regexp.MustCompile(`(^|[^\\a-zA-Z])(?:infinity|inf)\b`)
)

// stripUnit takes the unit off the end of a quantity, unless nothing would be left.
// A single letter is a unit only behind a number, since it may be a name.
func stripUnit(s string) string {
	s = temperature.ReplaceAllString(s, "")
	if halfOfDay.MatchString(s) {
		return s
	}
	for _, unit := range []*regexp.Regexp{textUnit, wordUnit, wordUnit} {
		if at := unit.FindStringSubmatchIndex(s); at != nil && at[2] > 0 {
			s = strings.TrimSpace(s[:at[2]])
		}
	}
	if at := letterUnit.FindStringSubmatchIndex(s); at != nil && !hasName(s[:at[2]]) {
		s = strings.TrimSpace(s[:at[2]])
	}
	return s
}

// hasName reports whether a text has a letter that is not of a command.
func hasName(s string) bool {
	return strings.ContainsFunc(command.ReplaceAllString(s, ""), unicode.IsLetter)
}

var (
	command     = regexp.MustCompile(`\\[a-zA-Z]+`)
	temperature = regexp.MustCompile(`(?:\^\{?\\circ\}?|°)\s*(?:\\text\{\s*)?[CFK]\s*\}?$`)
	halfOfDay   = regexp.MustCompile(`(?i)[^a-z][ap]\.?\s?m\.?\s*\}?$`)
	textUnit    = regexp.MustCompile(`(\\text\s*\{[^{}]*\}` + unitPower + `)$`)
	wordUnit    = regexp.MustCompile(`(?:\d|\}|\s)(\s*(?:` + unitWords + `)(?:e?s)?` + unitPower + `)$`)
	letterUnit  = regexp.MustCompile(`[\d}](\s*[mghlstcd]` + unitPower + `)$`)
)

const (
	unitPower = `(?:\s*(?:\^\d|\^\{\d\}|²|³))?\s*`
	unitWords = `mm|cm|dm|km|ft|inch|inches|feet|foot|yard|mile|meter|metre|centimeter|kilometer|acre|hectare|sq|square|cubic|cu` +
		`|mg|kg|gm|gram|kilogram|lb|pound|ounce|oz|ton|liter|litre|gallon|gal|cc|ml` +
		`|sec|second|min|minute|hr|hour|day|week|month|year|yr|mph|kmph|kmh|km/h|m/s` +
		`|degree|deg|unit|digit|integer|number|cent|dollar|rupee|rs|coin|mark` +
		`|student|people|person|men|man|women|woman|apple|tile|edge|way|time`
)

// A token is the smallest piece of LaTeX: one of the kinds below, or else a sign,
// which is the text itself.
type latexToken struct {
	kind  byte // 'n'umber, 'l'etter, 't'ext in \text{}, 'c'ommand without its backslash, or 0
	text  string
	space bool // whether there is a space before it
}

func (t latexToken) is(sign string) bool { return t.kind == 0 && t.text == sign }

// latexTokens cuts LaTeX, or plain text, into tokens. Spaces are none.
func latexTokens(s string) []latexToken {
	var tokens []latexToken
	space := false
	add := func(kind byte, text string) { tokens, space = append(tokens, latexToken{kind, text, space}), false }
	for s != "" {
		n := 1
		switch c := s[0]; {
		case c == ' ' || c == '~':
			space = true
		case c >= '0' && c <= '9' || c == '.' && len(s) > 1 && isASCIIDigit(s[1]):
			n = len(latexNumber.FindString(s))
			add('n', s[:n])
		case c == '\\':
			n = commandLength(s)
			name := s[1:n]
			switch {
			case name == "text":
				if group := textGroup.FindStringSubmatch(s); group != nil {
					n = len(group[0])
					add('t', group[1])
				}
			case spacing[name]:
				space = true
			case signs[name] != "":
				add(0, signs[name])
			default:
				add('c', name)
			}
		case c < utf8.RuneSelf && !isLetter(rune(c)):
			sign := s[:1]
			for _, pair := range []string{"<=", ">=", "!=", "==", "**"} {
				if strings.HasPrefix(s, pair) {
					n, sign = 2, pair
				}
			}
			switch sign {
			case "==":
				sign = "="
			case "**":
				sign = "^" // as programs write it
			}
			add(0, sign)
		default:
			var r rune
			r, n = utf8.DecodeRuneInString(s)
			switch {
			case greek[r] != "":
				add('c', greek[r])
			case runeSigns[r] != "":
				add(0, runeSigns[r])
			case r != '°':
				add('l', s[:n])
			}
		}
		s = s[n:]
	}
	return tokens
}

func isASCIIDigit(c byte) bool { return c >= '0' && c <= '9' }
func isLetter(r rune) bool     { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= utf8.RuneSelf }

// commandLength is the length of the command that s starts with: a backslash and
// letters, or one other character.
func commandLength(s string) int {
	n := 1
	for n < len(s) && s[n] < utf8.RuneSelf && isLetter(rune(s[n])) {
		n++
	}
	if n == 1 && len(s) > 1 {
		_, size := utf8.DecodeRuneInString(s[1:])
		n += size
	}
	return n
}

var (
	latexNumber = regexp.MustCompile(`^(?:\d*\.\d+|\d+)(?:E[+-]?\d{1,3})?`)
	textGroup   = regexp.MustCompile(`^\\text\s*\{([^{}]*)\}`)

	// spacing has the commands that are nothing.
	spacing = map[string]bool{
		",": true, ":": true, ";": true, " ": true, "!": true, "quad": true, "qquad": true, "left": true, "right": true, "thinspace": true,
		"big": true, "Big": true, "bigl": true, "bigr": true, "Bigl": true, "Bigr": true, "bigg": true, "Bigg": true, "limits": true, "": true,
	}
	// signs has the commands that are signs, and how they are written here.
	signs = map[string]string{
		"times": "*", "cdot": "*", "div": "/", "over": "/", "{": `\{`, "}": `\}`, "lbrace": `\{`, "rbrace": `\}`, "(": "(", ")": ")", "[": "[", "]": "]",
		"lbrack": "[", "rbrack": "]", "lgroup": "(", "rgroup": ")", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "|": "|", "%": "%", "\\": `\\`,
		"le": "<=", "leq": "<=", "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "lt": "<", "gt": ">", "ne": "!=", "neq": "!=",
		"in": "in", "approx": "~", "equiv": "=", "pm": "±", "mp": "∓", "cup": "∪", "cap": "∩", "setminus": "∖", "colon": ":", "&": "&", "_": "_",
	}
	runeSigns = map[rune]string{
		'−': "-", '–': "-", '×': "*", '⋅': "*", '·': "*", '∗': "*", '÷': "/", '∕': "/", '≤': "<=", '≥': ">=", '≠': "!=", '≈': "~", '∈': "in",
		'±': "±", '∓': "∓", '∪': "∪", '∩': "∩", '∖': "∖", '，': ",", '；': ";", '（': "(", '）': ")", '：': ":", '％': "%", '²': "²", '³': "³",
	}
	greek = map[rune]string{
		'α': "alpha", 'β': "beta", 'γ': "gamma", 'δ': "delta", 'θ': "theta", 'λ': "lambda", 'μ': "mu", 'π': "pi", 'ρ': "rho", 'σ': "sigma", 'φ': "phi",
		'ω': "omega", 'Δ': "Delta", 'Ω': "Omega", '∞': "infty", '∅': "emptyset", '√': "sqrt",
	}
)
