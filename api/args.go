package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sort"
	"strings"
)

// Args is what a constructor is told: the settings of the run that any
// extension may read, and the settings that are the extension's own.
type Args struct {
	LearningRate    float64
	WeightDecay     float64
	WarmupSteps     int // optimizer steps; 0 where --warmup_ratio is given instead
	WarmupRatio     float64
	Seed            int64
	OutputDir       string
	GreaterIsBetter bool // whether a larger value of --metric_for_best_model is the better one
	Log             *slog.Logger

	Name string         // the name the extension was chosen by
	Own  map[string]any // the settings given under that name, as JSON values
}

// Warmup returns the number of warm-up steps in a run of the given length, as
// transformers counts them: --warmup_steps if it is given, else the ceiling of
// the ratio.
func (a *Args) Warmup(steps int) int {
	if a.WarmupSteps > 0 {
		return a.WarmupSteps
	}
	n := a.WarmupRatio * float64(steps)
	if f := float64(int(n)); f < n {
		return int(n) + 1
	}
	return int(n)
}

// Decode stores the extension's own settings, those given on the command line
// as --NAME.key or in the config file under NAME, in the struct v points to,
// whose values beforehand are the defaults. A setting that v has no field for
// is an error that names the fields there are.
func (a *Args) Decode(v any) error {
	own := make(map[string]any, len(a.Own))
	for k, x := range a.Own {
		own[k] = x
	}
	for {
		text, err := json.Marshal(own)
		if err != nil {
			return fmt.Errorf("settings of %s: %w", a.Name, err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		err = d.Decode(v)
		var wrong *json.UnmarshalTypeError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &wrong) && wrong.Type.Kind() == reflect.String && asText(own, wrong.Field):
			continue // --name.label 7 is the text "7" where a text is wanted
		case errors.As(err, &wrong):
			return fmt.Errorf("settings of %s: %s is a %s, want %s", a.Name, wrong.Field, wrong.Value, strings.Replace(wrong.Type.String(), "[]", "a JSON list of ", 1))
		}
		if key, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return fmt.Errorf("settings of %s: unknown field %s; %s", a.Name, key, fields(v))
		}
		return fmt.Errorf("settings of %s: %w", a.Name, err)
	}
}

// asText turns the number or bool under key into its text, and reports whether
// there was one.
func asText(own map[string]any, key string) bool {
	for k, x := range own {
		if !strings.EqualFold(k, key) {
			continue
		}
		switch x.(type) {
		case bool, float64, int, int64, json.Number:
			own[k] = fmt.Sprint(x)
			return true
		}
	}
	return false
}

// fields says which settings the struct v points to has.
func fields(v any) string {
	var names []string
	if t := reflect.TypeOf(v); t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct {
		for _, f := range reflect.VisibleFields(t.Elem()) {
			if !f.IsExported() || f.Anonymous {
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				name = f.Name
			}
			if name != "-" {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return "it has no settings"
	}
	sort.Strings(names)
	return "there are " + strings.Join(names, ", ")
}
