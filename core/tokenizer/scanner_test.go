package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestScanners compares each scanner with its pattern run by regexp2.
func TestScanners(t *testing.T) {
	random := newRandom()
	patterns := map[string]pattern{`\p{N}`: digits}
	for expression, next := range scanners {
		patterns[expression] = scanWith(next)
	}
	for expression, find := range patterns {
		reference, err := newRegex(expression)
		if err != nil {
			t.Fatal(err)
		}
		for range 3000 {
			text := randomText(random, 30)
			got, want := find(nil, text), reference(nil, text)
			if !slices.Equal(got, want) {
				t.Fatalf("%q on %q:\n got %v\nwant %v", expression, text, got, want)
			}
		}
	}
}

// TestClasses checks the table of the scanners against what Go knows.
func TestClasses(t *testing.T) {
	for r := range rune(unicode.MaxRune + 1) {
		class := classTable()[r]
		if unicode.IsLetter(r) && class&letter == 0 || unicode.IsNumber(r) && class&number == 0 ||
			unicode.IsSpace(r) != (class&space != 0) || unicode.IsMark(r) && class&(upper|lower) != upper|lower ||
			unicode.IsPunct(r) && class&(letter|number) != 0 {
			t.Fatalf("%U has class %b", r, class)
		}
	}
}

func newRandom() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// randomText returns up to n characters of the kinds that patterns tell
// apart, with the strings they name in between.
func randomText(random *rand.Rand, n int) string {
	var out strings.Builder
	for range random.IntN(n) {
		switch random.IntN(8) {
		case 0:
			out.WriteString(randomOf(random, "'s", "'T", "'ſ", "'re", "'LL", "'vE", "'", "'l", "//"))
		case 1:
			out.WriteString(randomOf(random, " ", "  ", "\n", "\r\n", "\t", "\u00A0", "\u3000", "\u2028"))
		case 2:
			out.WriteString(randomOf(random, "A", "b", "ǅ", "ʰ", "中", "\u0301", "ः", "𐵐", "𐵰", "ß", "İ"))
		case 3:
			out.WriteString(randomOf(random, "1", "٣", "²", "Ⅷ", "𑛐"))
		case 4:
			out.WriteString(randomOf(random, ".", "_", "€", "👍", "\u200D", "\x00", "<"))
		case 5:
			out.WriteRune(random.Int32N(0x80))
		case 6:
			out.WriteRune(random.Int32N(0x3100))
		default:
			out.WriteRune(random.Int32N(0x20000)) // a surrogate becomes U+FFFD
		}
	}
	return out.String()
}

func randomOf(random *rand.Rand, all ...string) string { return all[random.IntN(len(all))] }

func TestASCIIClasses(t *testing.T) {
	for c, class := range asciiClasses {
		if want := classTable()[c]; class != want {
			t.Errorf("%q is of the classes %b, want %b", rune(c), class, want)
		}
	}
}
