package tokenizer

import (
	"os"
	"slices"
	"testing"
)

func TestZZOracle(t *testing.T) {
	for name := range vectorTokenizers {
		t.Run(name, func(t *testing.T) {
			p := "/tmp/orc/out/" + name + ".jsonl"
			if _, e := os.Stat(p); e != nil {
				t.Skip()
			}
			tk := loadShared(t, name)
			bad := 0
			for _, v := range readLines[struct {
				vector
				Dec []int32
			}](t, p) {
				if g := tk.Encode(v.Text, false); !slices.Equal(g, v.IDs) {
					t.Errorf("%d enc %+q\n %v\n %v", v.I, v.Text, g, v.IDs)
					bad++
				}
				if g := tk.Encode(v.Text, true); !slices.Equal(g, v.IDsSpecial) {
					t.Errorf("%d encs %+q", v.I, v.Text)
					bad++
				}
				if g := tk.Decode(v.Dec, false); g != *v.Decoded {
					t.Errorf("%d dec %v\n %q\n %q", v.I, v.Dec, g, *v.Decoded)
					bad++
				}
				if g := tk.Decode(v.Dec, true); g != *v.DecodedSkip {
					t.Errorf("%d decs %v\n %q\n %q", v.I, v.Dec, g, *v.DecodedSkip)
					bad++
				}
				if bad > 5 {
					t.FailNow()
				}
			}
		})
	}
}
