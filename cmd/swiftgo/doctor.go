package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"swiftgo/core/recipe"
	"swiftgo/loader"
)

// finding is what doctor says of one thing.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
	Mend  string `json:"mend,omitempty"`
}

func pluginDoctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "say whether this machine and this binary can build and load plugins", Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all := append(examineHost(), examineTools(cmd.Context())...)
		all = append(all, examineFolders()...)
		bad := 0
		for _, f := range all {
			if !f.OK {
				bad++
			}
		}
		if asJSON {
			if err := encode(cmd.OutOrStdout(), map[string]any{"ok": bad == 0, "findings": all}); err != nil {
				return err
			}
		} else {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, f := range all {
				state := map[bool]string{true: "ok", false: "wrong"}[f.OK]
				if f.Mend != "" {
					f.Found += "; " + f.Mend
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", state, f.Check, f.Found)
			}
			if err := w.Flush(); err != nil {
				return err
			}
		}
		if bad > 0 {
			return fmt.Errorf("%d of %d things are wrong", bad, len(all))
		}
		return nil
	}
	return cmd
}

// examineHost looks at how this binary was built: plugins fit only what is built
// in the same way.
func examineHost() []finding {
	const rebuild = "build swiftgo with ./build.sh"
	host, err := loader.Host()
	if err != nil {
		return []finding{{"binary", false, err.Error(), rebuild}}
	}
	setting := func(check, key, want, why string) finding {
		f := finding{Check: check, OK: host.Setting(key) == want, Found: key + "=" + host.Setting(key)}
		if host.Setting(key) == "" {
			f.Found = "built without " + key
		}
		if !f.OK {
			f.Mend = why + "; " + rebuild
		}
		return f
	}
	return []finding{
		{Check: "binary", OK: true, Found: fmt.Sprintf("%s, linked dynamically, %d packages", host.Build.GoVersion, len(host.Packages))},
		setting("cgo", "CGO_ENABLED", "1", "plugins need it"),
		setting("paths", "-trimpath", "true", "plugins fit only if they are built in the same folders"),
		setting("profile", "-pgo", "", "every plugin would need the same profile"),
		setting("coverage", "-cover", "", "no plugin can fit"),
	}
}

// examineTools looks for what builds plugins.
func examineTools(ctx context.Context) []finding {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	release := strings.Fields(runtime.Version())[0]
	install := "install " + release + " from https://go.dev/dl"
	goTool := finding{Check: "go"}
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "CC", "CGO_ENABLED").Output()
	if err != nil {
		goTool.Found, goTool.Mend = "the go command cannot be run: "+err.Error(), install+", to build plugins"
		return []finding{goTool}
	}
	lines := strings.Split(string(out), "\n")
	goTool.OK, goTool.Found = lines[0] == runtime.Version(), lines[0]+" on PATH"
	if !goTool.OK {
		goTool.Found += ", this binary is built with " + runtime.Version()
		goTool.Mend = install + ", or let go fetch it: GOTOOLCHAIN=" + release
	}
	cc := finding{Check: "C compiler", OK: true, Found: lines[1]}
	if path, err := exec.LookPath(strings.Fields(lines[1] + " cc")[0]); err != nil {
		cc.OK, cc.Found, cc.Mend = false, lines[1]+" is not on PATH", "install one, such as gcc"
	} else {
		cc.Found = path
	}
	return []finding{goTool, cc}
}

// examineFolders looks at where plugins lie and are copied to.
func examineFolders() []finding {
	cache := finding{Check: "cache folder", OK: true}
	var err error
	if cache.Found, err = loader.CheckStore(); err != nil {
		cache.OK, cache.Found = false, err.Error()
	}
	dir, _ := pluginsDir(&recipe.Config{PluginsDir: os.Getenv("SWIFTGO_PLUGINS_DIR")})
	folder := finding{Check: "plugin folder", OK: true, Found: dir}
	if _, err := os.Stat(dir); err != nil {
		folder.Found += " is not there yet"
	} else if err := loader.OwnerStrict.Trusted(dir); err != nil {
		folder.OK, folder.Found = false, err.Error()
	}
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	umask := finding{Check: "umask", OK: mask&0o022 == 0o022, Found: fmt.Sprintf("%04o", mask)}
	if !umask.OK {
		umask.Mend = "plugins and folders that others can write to are refused, so make them with umask 022, or chmod go-w them"
	}
	return []finding{cache, folder, umask}
}
