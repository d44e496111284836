package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
)

// A plugin to begin with, of each kind.
//
//go:embed scaffold
var scaffolds embed.FS

func pluginNewCommand() *cobra.Command {
	return &cobra.Command{
		Use: "new KIND NAME", Short: "begin a plugin: a folder with the code and its test", Args: cobra.ExactArgs(2),
		Long: "Begin a plugin: a folder NAME, without underscores, with the code and its test. Kinds: " + strings.Join(kinds(), ", ") + ".",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := scaffold(args[0], args[1])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s/ is ready; test and build it with build.sh check %s\n", dir, dir)
			return nil
		},
	}
}

const scaffoldTest = `package main

import (
	"testing"

	"swiftgo/api/apitest"
)

// The conformance kit tries what every {{.Words}} must do.
func Test{{.Title}}(t *testing.T) { apitest.{{.Kit}}(t, new{{.Title}}) }
`

// kits are the functions of package apitest.
var kits = map[string]string{
	"loss": "Loss", "loss_scale": "LossScale", "metric": "Metric", "optimizer": "Optimizer", "callback": "Callback",
	"agent_template": "AgentTemplate", "tuner": "Tuner", "orm": "ORM", "prm": "PRM",
}

var snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// scaffold makes the folder of a new plugin in the working directory, whole or
// not at all, and returns its name.
func scaffold(kind, name string) (string, error) {
	if !slices.Contains(kinds(), kind) {
		return "", fmt.Errorf("no kind %q; there are %s", kind, strings.Join(kinds(), ", "))
	}
	if !snake.MatchString(name) {
		return "", fmt.Errorf("the name is %q, want small letters, digits and single underscores, such as early_stop", name)
	}
	dir := strings.ReplaceAll(name, "_", "")
	if _, err := os.Stat(dir); err == nil {
		return "", fmt.Errorf("%s is there already; remove it or choose another name", dir)
	}
	title := ""
	for part := range strings.SplitSeq(name, "_") {
		title += strings.ToUpper(part[:1]) + part[1:]
	}
	data := map[string]string{"Name": name, "Title": title, "Type": strings.ToLower(title[:1]) + title[1:] + "Plugin", "Kit": kits[kind], "Words": strings.ReplaceAll(kind, "_", " ")}
	text, err := scaffolds.ReadFile("scaffold/" + kind + ".txt")
	if err != nil {
		return "", err
	}
	files := map[string]string{dir + ".go": string(text), dir + "_test.go": scaffoldTest}
	if !inModule() {
		files["go.mod"] = "module example.com/" + dir + "\n\ngo 1.26\n"
	}
	tmp, err := os.MkdirTemp(".", ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	for file, text := range files {
		out, err := render(file, text, data)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(tmp, file), out, 0o666); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	return dir, os.Rename(tmp, dir)
}

func render(file, text string, data map[string]string) ([]byte, error) {
	t, err := template.New(file).Parse(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, err
	}
	if filepath.Ext(file) != ".go" {
		return b.Bytes(), nil
	}
	return format.Source(b.Bytes())
}

// inModule reports whether the working directory belongs to a Go module.
func inModule() bool {
	dir, err := filepath.Abs(".")
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); !errors.Is(err, os.ErrNotExist) {
			return true
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return false
}
