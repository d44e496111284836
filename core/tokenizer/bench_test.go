package tokenizer

import (
	"strings"
	"testing"
)

func BenchmarkEncode(b *testing.B) {
	var text strings.Builder
	for _, v := range readLines[vector](b, sharedFile(b, "vectors/tokenizers/cases.jsonl")) {
		if len(v.Text) > 0 && len(v.Text) < 4000 {
			text.WriteString(v.Text)
		}
	}
	for name := range vectorTokenizers {
		tk := loadShared(b, name)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			for b.Loop() {
				tk.Encode(text.String(), true)
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := sharedFile(b, vectorTokenizers["qwen3"])
	for b.Loop() {
		if _, err := Load(dir); err != nil {
			b.Fatal(err)
		}
	}
}
