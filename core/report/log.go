package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The keys of a line that are not among the values it was given, but for the
// speed in tokens, which stands with them.
const (
	keyStep      = "global_step/max_steps"
	keyElapsed   = "elapsed_time"
	keyRemaining = "remaining_time"
	keyMemory    = "memory(GiB)"
	keySpeed     = "train_speed(s/it)"
	keyTokens    = "tokens/s"
)

// The order of a line's keys: these first, then all others by name, then those.
var (
	firstKeys = []string{"loss", "grad_norm", "learning_rate", "token_acc", "epoch"}
	lastKeys  = []string{keyStep, keyElapsed, keyRemaining, keyMemory, keySpeed, keyTokens}
)

// line is one line of logging.jsonl; its values are float64 or string.
type line map[string]any

// json returns the line as one JSON object, its keys in order, and a newline.
func (l line) json() []byte {
	var b bytes.Buffer
	before := byte('{')
	for _, key := range l.keys() {
		b.WriteByte(before)
		before = ','
		// Strings and finite numbers: neither fails.
		name, _ := json.Marshal(key)
		value, _ := json.Marshal(plainValue(l[key]))
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// text returns the line as people read it.
func (l line) text() string {
	var b strings.Builder
	b.WriteString(l[keyStep].(string))
	for _, key := range l.keys() {
		if given(key) {
			fmt.Fprintf(&b, "  %s %.5g", key, l[key])
		}
	}
	fmt.Fprintf(&b, "  elapsed %s", l[keyElapsed])
	if left, ok := l[keyRemaining]; ok {
		fmt.Fprintf(&b, "  left %s", left)
	}
	return b.String()
}

func (l line) keys() []string {
	var keys, others []string
	for key := range l {
		if !slices.Contains(firstKeys, key) && !slices.Contains(lastKeys, key) {
			others = append(others, key)
		}
	}
	slices.Sort(others)
	for _, key := range slices.Concat(firstKeys, others, lastKeys) {
		if _, ok := l[key]; ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// given reports whether a key is for a value that was measured elsewhere, and
// not one that the line itself adds.
func given(key string) bool {
	return key == keyTokens || !slices.Contains(lastKeys, key)
}

// openLog opens the log at path for appending. Of a log that is there it keeps
// the lines up to step, which it adds to h: what a killed run did after its last
// checkpoint is done again, a summary was not the end, and a torn line is none.
func openLog(path string, step int, h history) (*os.File, error) {
	var kept []byte
	if step > 0 {
		old, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for text := range bytes.Lines(old) {
			at, values, ok := parseLine(text)
			if !ok || at > step {
				continue
			}
			h.add(at, values)
			kept = append(append(kept, bytes.TrimRight(text, "\r\n")...), '\n')
		}
	}
	// Beside its name and renamed: a crash here must not lose the log.
	beside := path + ".new"
	if err := os.WriteFile(beside, kept, 0o644); err != nil {
		return nil, err
	}
	if err := os.Rename(beside, path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o644)
}

// parseLine returns the step and the values of a line of the log; ok is false
// where text is a summary or no line at all.
func parseLine(text []byte) (step int, values map[string]float64, ok bool) {
	var l line
	if json.Unmarshal(text, &l) != nil {
		return 0, nil, false
	}
	of, _ := l[keyStep].(string)
	of, _, _ = strings.Cut(of, "/")
	step, err := strconv.Atoi(of)
	if err != nil {
		return 0, nil, false
	}
	values = make(map[string]float64, len(l))
	for key, v := range l {
		if number, ok := v.(float64); ok && given(key) {
			values[key] = number
		}
	}
	return step, values, true
}

// plain returns values as JSON can hold them; see plainValue.
func plain(values map[string]any) map[string]any {
	out := make(map[string]any, len(values))
	for key, v := range values {
		out[key] = plainValue(v)
	}
	return out
}

// plainValue returns v as JSON can hold it: numbers rounded to 8 places, null
// for those that are not finite.
func plainValue(v any) any {
	switch v := v.(type) {
	case float64:
		if !finite(v) {
			return nil
		}
		return round(v)
	case *float64:
		if v == nil {
			return nil
		}
		return plainValue(*v)
	}
	return v
}

// round returns v with 8 decimal places, rounding its exact value as Python does.
func round(v float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'f', 8, 64), 64)
	return r
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// FormatTime writes d as ms-swift's logs do, from the largest unit that is not
// zero on: 1h 0m 5s. Only the seconds are rounded, so 59.9 seconds are 60s.
func FormatTime(d time.Duration) string {
	whole := int(d / time.Second)
	days, hours, minutes := whole/86400, whole/3600%24, whole/60%60
	seconds := (d % time.Minute).Seconds()
	switch {
	case days > 0:
		return fmt.Sprintf("%dd %dh %dm %.0fs", days, hours, minutes, seconds)
	case hours > 0:
		return fmt.Sprintf("%dh %dm %.0fs", hours, minutes, seconds)
	case minutes > 0:
		return fmt.Sprintf("%dm %.0fs", minutes, seconds)
	}
	return fmt.Sprintf("%.0fs", seconds)
}
