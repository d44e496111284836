package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"

	jsonparser "github.com/knadh/koanf/parsers/json"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swiftgo/core/recipe"
	"swiftgo/core/registry"
	"swiftgo/loader"
)

// settings is what the command line says of extensions: --NAME.key value.
type settings struct {
	own map[string]map[string]any
}

// engineEnv are variables of the environment that are no settings of a run.
var engineEnv = []string{"SWIFTGO_BLAS", "SWIFTGO_PROBE", "SWIFTGO_CRASH_MONITOR", "SWIFTGO_CACHE_DIR", apiKeyEnv}

// take takes the settings of extensions out of the command line, and rewrites
// what ms-swift's users type to what pflag reads: "--callbacks a b" to
// "--callbacks=a --callbacks=b", "--strict true" to "--strict=true".
func (s *settings) take(root *cobra.Command, argv []string) ([]string, error) {
	s.own = map[string]map[string]any{}
	cmd, _, err := root.Find(argv)
	if err != nil {
		return argv, nil // cobra says it better
	}
	var rest []string
	for i := 0; i < len(argv); i++ {
		name, value, has := strings.Cut(argv[i], "=")
		next := i+1 < len(argv) && (!strings.HasPrefix(argv[i+1], "-") || isNumber(argv[i+1]))
		flag := cmd.Flags().Lookup(strings.TrimPrefix(name, "--"))
		switch {
		case argv[i] == "--" || !strings.HasPrefix(name, "--"):
			rest = append(rest, argv[i])
		case strings.Contains(name, "."):
			if !has {
				if !next {
					return nil, fmt.Errorf("%s wants a value", name)
				}
				i++
				value = argv[i]
			}
			extension, key, _ := strings.Cut(name[2:], ".")
			if extension == "" || key == "" {
				return nil, fmt.Errorf("%s: want --NAME.key value, the setting key of the extension NAME", argv[i])
			}
			if s.own[extension] == nil {
				s.own[extension] = map[string]any{}
			}
			s.own[extension][key] = scalar(value)
		case flag != nil && !has && flag.Value.Type() == "stringSlice":
			for next {
				i++
				rest = append(rest, name+"="+argv[i])
				next = i+1 < len(argv) && !strings.HasPrefix(argv[i+1], "-")
			}
		case flag != nil && !has && next && flag.Value.Type() == "bool" && slices.Contains([]string{"true", "false", "1", "0"}, strings.ToLower(argv[i+1])):
			i++
			rest = append(rest, name+"="+strings.ToLower(argv[i]))
		case flag != nil && !has && next && flag.Value.Type() != "bool":
			i++
			rest = append(rest, name+"="+argv[i])
		default:
			rest = append(rest, argv[i])
		}
	}
	return rest, nil
}

func isNumber(s string) bool {
	var n json.Number
	return json.Unmarshal([]byte(s), &n) == nil
}

// scalar returns the JSON value that text is, or the text.
func scalar(text string) any {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil || d.More() || strings.HasPrefix(strings.TrimSpace(text), `"`) {
		return text
	}
	return v
}

// addFlags gives a command a flag for each field of recipe.Config that it wants.
func addFlags(f *pflag.FlagSet, defaults recipe.Config, wants func(name string) bool) {
	f.String("config", "", "file of settings, .yaml, .json or .toml, by the names of these flags")
	v := reflect.ValueOf(defaults)
	for i := range v.NumField() {
		t := v.Type().Field(i)
		name, help := t.Tag.Get("koanf"), t.Tag.Get("help")
		if !wants(name) {
			continue
		}
		switch x := v.Field(i).Interface().(type) {
		case string:
			f.String(name, x, help)
		case bool:
			f.Bool(name, x, help)
		case int:
			f.Int(name, x, help)
		case int64:
			f.Int64(name, x, help)
		case float64:
			f.Float64(name, x, help)
		case []string:
			f.StringSlice(name, x, help)
		default:
			panic("no flag for the type of " + name)
		}
	}
	f.SortFlags = false
}

func everything(string) bool { return true }

func ofPlugins(name string) bool { return strings.HasPrefix(name, "plugins") }

// load returns the settings of a run: the defaults, over them the file of
// --config, over that SWIFTGO_… of the environment, over that the flags. The
// settings of extensions are merged in the same order.
func (s *settings) load(flags *pflag.FlagSet, defaults recipe.Config) (recipe.Config, map[string]map[string]any, error) {
	c := defaults
	k := koanf.New("\x00") // no delimiter: names of settings have no parts
	if err := k.Load(structs.Provider(defaults, "koanf"), nil); err != nil {
		return c, nil, err
	}
	own := map[string]map[string]any{}
	command := commandFlags{flags, map[string]string{}}
	if path, _ := flags.GetString("config"); path != "" {
		if err := loadFile(k, path, own, command); err != nil {
			return c, nil, err
		}
	}
	if err := loadEnv(k, command); err != nil {
		return c, nil, err
	}
	if err := command.set(); err != nil {
		return c, nil, err
	}
	if err := k.Load(posflag.ProviderWithFlag(flags, "\x00", k, func(f *pflag.Flag) (string, any) {
		if f.Name == "config" || f.Name == "help" {
			return "", nil
		}
		return f.Name, posflag.FlagVal(flags, f)
	}), nil); err != nil {
		return c, nil, err
	}
	if err := k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{Tag: "koanf"}); err != nil {
		return c, nil, fmt.Errorf("settings: %w", err)
	}
	if c.CacheDir == "" && c.LoadFromCacheFile {
		dir, err := loader.CacheDir()
		if err != nil {
			return c, nil, err
		}
		c.CacheDir = dir
	}
	for name, values := range s.own {
		if own[name] == nil {
			own[name] = map[string]any{}
		}
		for key, v := range values {
			own[name][key] = v
		}
	}
	return c, own, nil
}

// commandFlags are the settings of a command beside those of a run.
type commandFlags struct {
	*pflag.FlagSet
	values map[string]string // of the file and the environment, by the flag
}

// takes reports whether name is such a setting, and takes its value if it is.
func (f commandFlags) takes(name string, value any) bool {
	if known(name) || name == "config" || name == "help" || f.Lookup(name) == nil {
		return false
	}
	switch v := value.(type) {
	case []any:
		var parts []string
		for _, x := range v {
			parts = append(parts, fmt.Sprint(x))
		}
		f.values[name] = strings.Join(parts, ",")
	case map[string]any: // JSON on the command line
		text, _ := json.Marshal(v) // it was read from such a text
		f.values[name] = string(text)
	default:
		f.values[name] = fmt.Sprint(v)
	}
	return true
}

// set gives the flags that were not given their values.
func (f commandFlags) set() error {
	for name, value := range f.values {
		if f.Changed(name) {
			continue
		}
		if err := f.Set(name, value); err != nil {
			return fmt.Errorf("%s in the file of --config or in the environment: %w", name, err)
		}
	}
	return nil
}

// loadFile reads a file of settings; a section is the settings of an extension.
func loadFile(k *koanf.Koanf, path string, own map[string]map[string]any, command commandFlags) error {
	parsers := map[string]koanf.Parser{".yaml": yaml.Parser(), ".yml": yaml.Parser(), ".json": jsonparser.Parser(), ".toml": toml.Parser()}
	parser, ok := parsers[filepath.Ext(path)]
	if !ok {
		return fmt.Errorf("--config %s: want a file that ends in .yaml, .json or .toml", path)
	}
	f := koanf.New("\x00")
	if err := f.Load(file.Provider(path), parser); err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	for name, v := range f.Raw() {
		if command.takes(name, v) {
			continue
		}
		if section, ok := v.(map[string]any); ok && !known(name) {
			own[name] = section
			continue
		}
		if !known(name) {
			return fmt.Errorf("--config %s: no setting %q%s", path, name, didYouMean(name))
		}
		if section, ok := v.(map[string]any); ok { // --columns, JSON on the command line
			text, err := json.Marshal(section)
			if err != nil {
				return fmt.Errorf("--config %s: %s: %w", path, name, err)
			}
			v = string(text)
		}
		if err := k.Set(name, v); err != nil {
			return err
		}
	}
	return nil
}

func loadEnv(k *koanf.Koanf, command commandFlags) error {
	e := koanf.New("\x00")
	err := e.Load(env.Provider("\x00", env.Opt{Prefix: "SWIFTGO_", TransformFunc: func(key, value string) (string, any) {
		if slices.Contains(engineEnv, key) {
			return "", nil
		}
		return strings.ToLower(strings.TrimPrefix(key, "SWIFTGO_")), value
	}}), nil)
	if err != nil {
		return err
	}
	for name, v := range e.Raw() {
		if command.takes(name, v) {
			continue
		}
		if !known(name) {
			return fmt.Errorf("the environment has SWIFTGO_%s: no setting %q%s", strings.ToUpper(name), name, didYouMean(name))
		}
		if text, ok := v.(string); ok && fieldKind(name) == reflect.Slice {
			v = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
		}
		if err := k.Set(name, v); err != nil {
			return err
		}
	}
	return nil
}

// names are the settings there are.
var names = func() []string {
	var all []string
	t := reflect.TypeFor[recipe.Config]()
	for i := range t.NumField() {
		all = append(all, t.Field(i).Tag.Get("koanf"))
	}
	sort.Strings(all)
	return all
}()

func known(name string) bool { return slices.Contains(names, name) }

func fieldKind(name string) reflect.Kind {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[recipe.Config]()) {
		if f.Tag.Get("koanf") == name {
			return f.Type.Kind()
		}
	}
	return reflect.Invalid
}

// didYouMean returns "; did you mean X?" for the nearest name there is.
func didYouMean(name string) string {
	if near := registry.Nearest(name, names); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// pluginsDir returns --plugins_dir, or the folder plugins beside the binary. A
// folder that was named must be there; the default need not.
func pluginsDir(c *recipe.Config) (dir string, named bool) {
	if c.PluginsDir != "" {
		return c.PluginsDir, true
	}
	exe, err := os.Executable()
	if err != nil {
		return "plugins", false
	}
	beside := filepath.Join(filepath.Dir(exe), "plugins")
	if _, err := os.Stat(beside); err != nil { // bin/swiftgo of a checkout has plugins beside bin
		if up := filepath.Join(filepath.Dir(filepath.Dir(exe)), "plugins"); filepath.Base(filepath.Dir(exe)) == "bin" {
			return up, false
		}
	}
	return beside, false
}
