package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"swiftgo/api"
	"swiftgo/core/recipe"
	"swiftgo/core/report"
)

func dataCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{Use: "data", Short: "look at datasets"}
	cmd.AddCommand(dataShowCommand(s))
	return cmd
}

// dataFlags are the settings that decide what a dataset becomes.
var dataFlags = []string{"model", "seed", "data_seed", "dataset", "val_dataset", "split_dataset_ratio", "interleave_prob", "stopping_strategy", "columns",
	"dataset_num_proc", "load_from_cache_file", "cache_dir", "streaming", "strict", "max_length", "truncation_strategy", "packing", "packing_length",
	"template", "template_backend", "system", "use_chat_template", "compat", "loss_scale", "disable_ignore_empty_think", "agent_template", "override",
	"task_type", "num_labels", "problem_type"}

// shown says how data show shows.
type shown struct {
	rows, skip   int
	tokens, json bool
	html, color  string
}

func dataShowCommand(s *settings) *cobra.Command {
	o := shown{rows: 5, color: "auto"}
	cmd := &cobra.Command{
		Use: "show", Short: "show a dataset as the trainer will see it", Args: cobra.NoArgs,
		Long: `Show a dataset as the trainer will see it: what is trained on, with which weight, and what
is left out and why. It takes the flags of sft; of the model it reads the tokenizer only.

On a terminal what is trained on is green, what weighs more yellow, what weighs less blue,
and the rest grey. Elsewhere it stands in ⟦ ⟧, with its weight if that is not 1.

With --json there is one object a sequence, {"source", "runs": [{"text", "weight",
"trained"}], "tokens", "ids", "labels", "loss_scale", "row"}, and one with the numbers of
the whole dataset last. Labels and weights are those of the token itself, not of the next.`,
	}
	defaults := recipe.Default()
	addFlags(cmd.Flags(), defaults, func(name string) bool {
		return slices.Contains(dataFlags, name) || strings.HasPrefix(name, "plugin")
	})
	f := cmd.Flags()
	f.IntVar(&o.rows, "rows", o.rows, "sequences to show; 0 is all")
	f.IntVar(&o.skip, "skip", o.skip, "sequences to leave out before them")
	f.BoolVar(&o.tokens, "tokens", o.tokens, "show each token, its id, label and weight")
	f.BoolVar(&o.json, "json", o.json, "print JSON, a line for each sequence")
	f.StringVar(&o.html, "html", o.html, "write one page of HTML to this file")
	f.StringVar(&o.color, "color", o.color, "always, never, or auto: on a terminal")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, own, err := s.load(f, defaults)
		if err != nil {
			return err
		}
		if o.rows < 0 || o.skip < 0 {
			return fmt.Errorf("--rows is %d and --skip %d, want 0 or more", o.rows, o.skip)
		}
		if !slices.Contains([]string{"auto", "always", "never"}, o.color) {
			return fmt.Errorf("--color is %q, want auto, always or never", o.color)
		}
		if o.rows == 0 {
			o.rows = math.MaxInt32
		}
		c.MaxSteps = 1 // nothing is trained: --streaming need not say for how long
		if err := c.Complete(); err != nil {
			return err
		}
		reg, err := open(&c, own)
		if err != nil {
			return err
		}
		data, err := recipe.ShowData(c, o.skip, o.rows, reg, report.Tasks(os.Stderr))
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), data)
	}
	return cmd
}

func (o *shown) show(out io.Writer, data *recipe.Shown) error {
	switch {
	case o.html != "":
		return writeHTML(o.html, data)
	case o.json:
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		for _, r := range data.Rows {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return e.Encode(data)
	}
	color := o.color == "always"
	if file, ok := out.(*os.File); ok && o.color == "auto" {
		color = term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == ""
	}
	for _, r := range data.Rows {
		fmt.Fprintf(out, "── %s, %d tokens, %d of them trained on\n", r.Source, len(r.IDs), r.Trained())
		if o.tokens {
			writeTokens(out, &r)
			continue
		}
		for _, run := range r.Runs {
			io.WriteString(out, styled(visible(run.Text), run.Weight, run.Trained, color))
		}
		io.WriteString(out, "\n")
	}
	_, err := fmt.Fprintf(out, "── all, in template %s: %s\n", data.Template, data.Summary)
	return err
}

// styled marks a text by its weight.
func styled(text string, weight float32, trained, color bool) string {
	switch {
	case !color && !trained:
		return text
	case !color && weight == 1:
		return "⟦" + text + "⟧"
	case !color:
		return fmt.Sprintf("⟦×%g %s⟧", weight, text)
	case !trained:
		return "\x1b[90m" + text + "\x1b[0m"
	case weight == 1:
		return "\x1b[32m" + text + "\x1b[0m"
	case weight > 1:
		return "\x1b[1;33m" + text + "\x1b[0m"
	}
	return "\x1b[34m" + text + "\x1b[0m"
}

// visible writes what a terminal would obey instead of showing it.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || r == '\t' || unicode.IsGraphic(r) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, `\x%02x`, r)
	}
	return b.String()
}

// writeTokens writes a line for each token.
func writeTokens(out io.Writer, r *recipe.ShownRow) {
	for i, id := range r.IDs {
		label, weight := "", ""
		if r.Labels[i] != api.Ignore {
			label, weight = fmt.Sprint(r.Labels[i]), "1"
			if r.Scale != nil {
				weight = fmt.Sprint(r.Scale[i])
			}
		}
		fmt.Fprintf(out, "%6d %8d %8s %5s  %q\n", i, id, label, weight, r.Tokens[i])
	}
}

//go:embed data.html
var dataPage string

// writeHTML writes one page that needs no other file.
func writeHTML(path string, data *recipe.Shown) error {
	page := template.Must(template.New("page").Funcs(template.FuncMap{
		"class": func(weight float32, trained bool) string {
			switch {
			case !trained:
				return "no"
			case weight > 1:
				return "more"
			case weight < 1:
				return "less"
			}
			return "one"
		},
	}).Parse(dataPage))
	tmp, err := os.CreateTemp(filepath.Dir(path), ".html-")
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	defer os.Remove(tmp.Name()) // by then it has its name, unless something failed
	if err := page.Execute(tmp, data); err != nil {
		tmp.Close()
		return fmt.Errorf("--html %s: %w", path, err)
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("--html %s: %w", path, err)
	}
	return os.Rename(tmp.Name(), path)
}
