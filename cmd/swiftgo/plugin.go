package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"swiftgo/core/recipe"
	"swiftgo/loader"
	"swiftgo/loader/build"
)

// pluginCommand is a plugin author's and an operator's day.
func pluginCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "plugin", Short: "begin, build, try, check and lock plugins",
		Long: `Begin, build, try, check and lock plugins.

A plugin is code in the process of swiftgo, and may do what the process may. Owner
checks, plugins.lock and signatures say whose code it is; none of them is a sandbox.`,
	}
	cmd.AddCommand(pluginNewCommand(), pluginBuildCommand(), pluginTryCommand(s), pluginListCommand(s), pluginInspectCommand(), pluginCheckCommand(s),
		pluginLockCommand(s), pluginVerifyCommand(s), pluginSignCommand(), pluginKeygenCommand(), pluginDoctorCommand())
	return cmd
}

// folder adds the flags that say which plugins of a folder are meant and what is
// asked of them, and returns a function for their values. An argument of the
// command is the folder.
func (s *settings) folder(cmd *cobra.Command) func(args []string) (string, loader.Options, error) {
	addFlags(cmd.Flags(), recipe.Default(), ofPlugins)
	return func(args []string) (string, loader.Options, error) {
		c, _, err := s.load(cmd.Flags(), recipe.Default())
		if err != nil {
			return "", loader.Options{}, err
		}
		if len(args) > 0 {
			c.PluginsDir = args[0]
		}
		dir, _ := pluginsDir(&c)
		o, err := pluginOptions(&c)
		return dir, o, err
	}
}

// pluginOptions returns what the settings say of plugins.
func pluginOptions(c *recipe.Config) (o loader.Options, err error) {
	if len(c.Plugins) > 0 {
		o.Only = c.Plugins
	}
	if o.Policy, err = loader.ParsePolicies(c.PluginsPolicy); err != nil {
		return o, fmt.Errorf("--plugins_policy: %w", err)
	}
	if o.Owner, err = loader.ParseOwnerCheck(c.PluginsOwnerCheck); err != nil {
		return o, fmt.Errorf("--plugins_owner_check: %w", err)
	}
	for _, text := range c.PluginsTrustedKeys {
		k, err := loader.ParseKey(text)
		if err != nil {
			return o, fmt.Errorf("--plugins_trusted_keys: %w", err)
		}
		o.Keys = append(o.Keys, k)
	}
	if c.PluginsTimeout <= 0 {
		return o, fmt.Errorf("--plugins_timeout is %d, want 1 second or more", c.PluginsTimeout)
	}
	o.Locked, o.Timeout = c.PluginsLocked, time.Duration(c.PluginsTimeout)*time.Second
	return o, nil
}

// encode writes v as JSON to read.
func encode(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func pluginListCommand(s *settings) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list [DIR]", Short: "list the plugins of a folder and what they offer", Args: cobra.MaximumNArgs(1),
		Long: `List the plugins of a folder (default: plugins beside the binary), with the names that
each registers. A plugin that does not fit this binary is listed with the reason. None is
opened in this process.`,
	}
	folder := s.folder(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, o, err := folder(args)
		if err != nil {
			return err
		}
		all, _, err := loader.List(dir, o)
		if err != nil {
			return err
		}
		if asJSON {
			return encode(cmd.OutOrStdout(), slices.Concat([]loader.Listing{}, all))
		}
		return printList(cmd.OutOrStdout(), dir, all)
	}
	return cmd
}

// printList prints a table of plugins. It is an error if one does not fit.
func printList(out io.Writer, dir string, all []loader.Listing) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FILE\tVERSION\tSIZE\tOFFERS")
	bad := 0
	for _, p := range all {
		offers := strings.Join(p.Offers(), ", ")
		if p.Error != "" {
			bad++
			offers = p.Problem()
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f MB\t%s\n", p.File, p.Manifest.Version, float64(p.Size)/1e6, offers)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d plugins in %s do not fit", bad, len(all), dir)
	}
	return nil
}

func pluginInspectCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "inspect FILE...", Short: "say everything that is known of a plugin", Args: cobra.MinimumNArgs(1),
		Long: `Say what a plugin is, what it was built with and from, and every package in which it
differs from this binary. All of that is read from the file without running any of it;
only the names that it registers come from opening it in a child process, and only if
nothing is wrong with it.`,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object a file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		out := cmd.OutOrStdout()
		bad := 0
		for _, path := range args {
			l, err := loader.Describe(path)
			if err != nil {
				return err
			}
			if l.Error != "" {
				bad++
			}
			annotate(&l)
			if asJSON {
				err = encode(out, l)
			} else {
				err = printListing(out, l)
			}
			if err != nil {
				return err
			}
		}
		if bad > 0 {
			return fmt.Errorf("%d of %d files do not fit", bad, len(args))
		}
		return nil
	}
	return cmd
}

// annotate adds what the loader does not know: where this binary's api differs.
func annotate(l *loader.Listing) {
	if n := build.Note(l.Built); n != "" {
		l.Notes = append(l.Notes, n)
	}
}

// printListing prints all of what is known of one plugin.
func printListing(out io.Writer, l loader.Listing) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(head, format string, args ...any) { fmt.Fprintf(w, head+"\t"+format+"\n", args...) }
	row("file", "%s, %.1f MB", l.File, float64(l.Size)/1e6)
	if l.SHA256 != "" {
		row("sha256", "%s", l.SHA256)
	}
	if m := l.Manifest; m.Name != "" {
		row("plugin", "%s", strings.Join(slices.DeleteFunc([]string{strings.TrimSpace(m.Name + " " + m.Version), m.Description, m.License, m.Homepage}, func(s string) bool { return s == "" }), ", "))
	}
	if l.PluginPath != "" {
		row("path", "%s", l.PluginPath)
	}
	if l.Go != "" {
		var settings []string
		for _, key := range []string{"-trimpath", "-race", "-msan", "-asan", "-tags", "-gcflags", "-pgo", "-cover", "GOAMD64", "GOEXPERIMENT"} {
			if v := l.Settings[key]; v != "" {
				settings = append(settings, key+"="+v)
			}
		}
		row("built with", "%s %s", l.Go, strings.Join(settings, " "))
	}
	if l.Built != nil {
		row("built by", "%s", l.Built)
	}
	if len(l.Needed) > 0 {
		row("needs", "%s; glibc %s", strings.Join(l.Needed, " "), l.Glibc)
	}
	for i, e := range l.Exports {
		row([]string{"exports", ""}[min(i, 1)], "%s %s", e.Name, e.Type)
	}
	for i, offer := range l.Offers() {
		row([]string{"offers", ""}[min(i, 1)], "%s", offer)
	}
	if l.Packages > 0 {
		row("packages", "%d, of them %d in this swiftgo too, %d of them differ", l.Packages, l.Shared, len(l.Differ))
	}
	for _, m := range l.Differ {
		row("", "%s: %s %s there, %s here", m.Package, m.Module, m.Plugin, m.Host)
	}
	for i, n := range l.Notes {
		row([]string{"note", ""}[min(i, 1)], "%s", n)
	}
	if l.Error != "" {
		row("does not fit", "%s", l.Error)
		row("mend", "%s", l.Hint)
	} else {
		row("fits", "this swiftgo")
	}
	return w.Flush()
}

func pluginCheckCommand(s *settings) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check [DIR]", Short: "do all that a run does with plugins, but train", Args: cobra.MaximumNArgs(1),
		Long: `Do all that a run does with the plugins of a folder before it begins, with the same flags,
--config and environment: every check, and opening each plugin in a child process. It fails
if a run would. For CI and for operators.`,
	}
	folder := s.folder(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: ok, plugins, skipped")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, o, err := folder(args)
		if err != nil {
			return err
		}
		all, skipped, err := loader.List(dir, o)
		if err != nil {
			return err
		}
		bad := 0
		for i, l := range all {
			annotate(&all[i])
			if l.Error != "" && l.Policy != loader.Optional {
				bad++
			}
		}
		out := cmd.OutOrStdout()
		if asJSON {
			if err := encode(out, map[string]any{"ok": bad == 0, "dir": dir, "plugins": slices.Concat([]loader.Listing{}, all), "skipped": slices.Concat([]loader.Skip{}, skipped)}); err != nil {
				return err
			}
		} else {
			for _, l := range all {
				state := "ok"
				if l.Error != "" {
					state = l.Problem()
				}
				fmt.Fprintf(out, "%s: %s\n", l.File, state)
				for _, n := range l.Notes {
					fmt.Fprintf(out, "%s: note: %s\n", l.File, n)
				}
			}
			for _, s := range skipped {
				fmt.Fprintf(out, "%s: skipped: %s\n", s.Path, s.Reason)
			}
		}
		if bad > 0 {
			return fmt.Errorf("a run would not begin: %d of the %d plugins in %s do not load", bad, len(all), dir)
		}
		return nil
	}
	return cmd
}

func pluginLockCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "lock [DIR]", Short: "write plugins.lock, which --plugins_locked holds a folder to", Args: cobra.MaximumNArgs(1),
		Long: `Write plugins.lock into a folder of plugins, all of which must load: for each its sha256, plugin
path and the names that it registers. With --plugins_locked a run refuses every plugin
that is not as the file has it.`,
	}
	folder := s.folder(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, o, err := folder(args)
		if err != nil {
			return err
		}
		locked, err := loader.WriteLock(dir, o)
		if err != nil {
			return err
		}
		for _, l := range locked {
			fmt.Fprintln(cmd.OutOrStdout(), l)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s holds %d plugins\n", filepath.Join(dir, loader.LockFile), len(locked))
		return nil
	}
	return cmd
}

func pluginVerifyCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify [DIR]", Short: "hold a folder to plugins.lock and to signatures", Args: cobra.MaximumNArgs(1),
		Long: `Hold the plugins of a folder to plugins.lock, if it has one or --plugins_locked is given, and
to signatures, if --plugins_trusted_keys are given. None of them is opened.`,
	}
	folder := s.folder(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, o, err := folder(args)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, loader.LockFile)); err == nil {
			o.Locked = true
		}
		if !o.Locked && len(o.Keys) == 0 {
			return fmt.Errorf("nothing to hold %s to: it has no %s, and no --plugins_trusted_keys are given", dir, loader.LockFile)
		}
		paths, err := loader.Verify(dir, o)
		if err != nil {
			return err
		}
		for _, p := range paths {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", p)
		}
		return nil
	}
	return cmd
}

func pluginSignCommand() *cobra.Command {
	var key, passwordFile string
	cmd := &cobra.Command{
		Use: "sign FILE...", Short: "sign plugins with a minisign key", Args: cobra.MinimumNArgs(1),
		Long: `Write FILE.minisig beside each plugin, as "minisign -S" does. The key is one of the tool
minisign's, or of "swiftgo plugin keygen".`,
	}
	cmd.Flags().StringVar(&key, "key", "", "file of the private key")
	cmd.Flags().StringVar(&passwordFile, "password_file", "", "file with the password of the key (default: ask for it)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if key == "" {
			return errors.New("--key is missing; make a key with swiftgo plugin keygen FILE")
		}
		password := passwordOf(passwordFile, "password of "+key+": ")
		for _, path := range args {
			if err := loader.Sign(path, key, password); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s.minisig\n", path)
		}
		return nil
	}
	return cmd
}

func pluginKeygenCommand() *cobra.Command {
	var passwordFile string
	var plain bool
	cmd := &cobra.Command{
		Use: "keygen FILE", Short: "make a minisign key: FILE is the private key, FILE.pub the public one", Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&passwordFile, "password_file", "", "file with a password for the private key (default: ask for it)")
	cmd.Flags().BoolVar(&plain, "no_password", false, "do not encrypt the private key")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		password := ""
		if !plain {
			var err error
			if password, err = passwordOf(passwordFile, "password for "+args[0]+": ")(); err != nil {
				return err
			}
			if password == "" {
				return errors.New("the password is empty; give one, or --no_password")
			}
		}
		public, err := loader.GenerateKey(args[0], password)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s and %s.pub\n--plugins_trusted_keys %s\n", args[0], args[0], public)
		return nil
	}
	return cmd
}

// passwordOf returns a function that reads a password from a file, or asks for
// it on the terminal, once.
func passwordOf(file, prompt string) func() (string, error) {
	var word *string
	return func() (string, error) {
		if word != nil {
			return *word, nil
		}
		var text []byte
		var err error
		switch stdin := int(os.Stdin.Fd()); {
		case file != "":
			text, err = os.ReadFile(file)
		case !term.IsTerminal(stdin):
			err = errors.New("no terminal to ask for the password; give --password_file")
		default:
			fmt.Fprint(os.Stderr, prompt)
			text, err = term.ReadPassword(stdin)
			fmt.Fprintln(os.Stderr)
		}
		if err != nil {
			return "", err
		}
		w := strings.TrimRight(string(text), "\r\n")
		word = &w
		return w, nil
	}
}
