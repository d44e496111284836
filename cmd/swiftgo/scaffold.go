package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"swiftgo"
	"swiftgo/loader/build"
)

// A plugin to begin with, of each kind.
//
//go:embed scaffold
var scaffolds embed.FS

func pluginNewCommand() *cobra.Command {
	return &cobra.Command{
		Use: "new KIND NAME", Short: "begin a plugin: a folder with the code, its test and a README", Args: cobra.ExactArgs(2),
		Long: "Begin a plugin: a folder NAME, without underscores, with the code, its test and a README. Kinds: " + strings.Join(kinds(), ", ") + ".",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := scaffold(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s/ is ready; next:\n  cd %[1]s && go test .\n  swiftgo plugin build .\n", dir)
			return nil
		},
	}
}

// beginnings say of each kind which function of package apitest tests it, how it
// is chosen, what settings the code in folder scaffold has, and a line for
// swiftgo plugin try.
var beginnings = map[string]struct {
	kit, use, line string
	settings       []string
}{
	"loss": {"Loss", "swiftgo sft --loss_type NAME …", `{"logits": [[[1, 2, 3], [3, 2, 1]]], "labels": [[-100, 2]]}`,
		[]string{"weight X` | factor of each token's loss, 1"}},
	"loss_scale": {"LossScale", "swiftgo sft --loss_scale NAME …", `{"query": "q", "response": "r"}`,
		[]string{"weight X` | weight of the responses, 1"}},
	"metric":    {"Metric", "swiftgo sft --eval_metric NAME …", `{"preds": [[1, 2, 3]], "labels": [[-100, 1, 2]]}`, nil},
	"optimizer": {"Optimizer", "swiftgo sft --optimizer NAME …", `{"w": [[1, 2]], "grads": [[[0.5, -0.5]]], "lr": 0.1}`, nil},
	"callback": {"Callback", "swiftgo sft --callbacks NAME …", `{"losses": [3, 2, 1]}`,
		[]string{"every N` | steps between two lines of the log, 10"}},
	"agent_template": {"AgentTemplate", "swiftgo sft --agent_template NAME …",
		`{"method": "get_toolcall", "response": "<call>{\"name\": \"a\", \"arguments\": {\"x\": 1}}</call>"}`, nil},
	"tuner": {"Tuner", "swiftgo sft --tuner_type NAME …", `{}`, nil},
	"orm":   {"ORM", "swiftgo sample --orm_model NAME …", `{"text": "4", "truth": " 4"}`, nil},
	"prm":   {"PRM", "swiftgo sample --prm_model NAME …", `{"text": "a\nb"}`, nil},
}

var snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// scaffold makes the folder of a new plugin in the working directory, whole or
// not at all, and returns its name.
func scaffold(ctx context.Context, kind, name string) (string, error) {
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
	files := map[string][]byte{}
	known, err := build.Requires(".")
	if err == nil && !known {
		files["go.mod"], files["go.sum"], err = build.Module(ctx, "example.com/"+dir)
	}
	if err == nil {
		err = code(files, kind, name, dir)
	}
	if err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(".", ".new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(tmp, file), text, 0o666); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	return dir, os.Rename(tmp, dir)
}

// guide returns what docs/authors.md says of a kind.
func guide(kind string) string {
	_, text, _ := strings.Cut(swiftgo.Authors, "\n## "+kind+"\n\n")
	text, _, _ = strings.Cut(text, "\n\n## ")
	return strings.TrimSpace(text)
}

// code adds what is written for a kind to the files of a plugin.
func code(files map[string][]byte, kind, name, dir string) error {
	title := ""
	for part := range strings.SplitSeq(name, "_") {
		title += strings.ToUpper(part[:1]) + part[1:]
	}
	b := beginnings[kind]
	data := map[string]any{"Kind": kind, "Name": name, "Dir": dir, "Title": title, "Type": strings.ToLower(title[:1]) + title[1:] + "Plugin", "Kit": b.kit,
		"Words": strings.ReplaceAll(kind, "_", " "), "Use": strings.ReplaceAll(b.use, "NAME", name), "Line": b.line, "Settings": b.settings, "Module": files["go.mod"] != nil, "Guide": guide(kind)}
	for from, to := range map[string]string{kind + ".txt": dir + ".go", "test.txt": dir + "_test.go", "README.md": "README.md"} {
		t, err := template.ParseFS(scaffolds, "scaffold/"+from)
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := t.Execute(&text, data); err != nil {
			return err
		}
		files[to] = text.Bytes()
		if filepath.Ext(to) == ".go" {
			if files[to], err = format.Source(text.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}
