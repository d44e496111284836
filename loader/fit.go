package loader

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/cpu"
)

// Mismatch is a package that host and plugin have in different versions.
type Mismatch struct {
	Package      string
	Module       string // "std" for the standard library
	Host, Plugin string // versions of the module
}

// MismatchError lists all packages for which plugin.Open would refuse a plugin.
type MismatchError struct {
	Settings   []string // of the build that differ, in words
	Mismatches []Mismatch
}

func (e *MismatchError) Error() string {
	modules := map[string][]Mismatch{}
	for _, m := range e.Mismatches {
		modules[m.Module] = append(modules[m.Module], m)
	}
	var groups []string
	for _, module := range slices.Sorted(maps.Keys(modules)) {
		ms := modules[module]
		text := module
		if ms[0].Host != ms[0].Plugin {
			text += fmt.Sprintf(" %s, here %s", ms[0].Plugin, ms[0].Host)
		}
		const most = 4
		var names []string
		for _, m := range ms[:min(most, len(ms))] {
			names = append(names, m.Package)
		}
		if len(ms) > most {
			names = append(names, fmt.Sprintf("and %d more", len(ms)-most))
		}
		groups = append(groups, fmt.Sprintf("%s (%s)", text, strings.Join(names, ", ")))
	}
	text := "built with packages that differ from this program's: " + strings.Join(groups, "; ")
	if len(e.Settings) > 0 {
		text = strings.Join(e.Settings, " and ") + ", so " + text
	}
	return text
}

// compared are the settings of a build that change every package.
var compared = []string{"-trimpath", "-race", "-msan", "-asan", "-gcflags", "-pgo", "-cover", "GOEXPERIMENT"}

// fits returns an *Error if this program, host, cannot use the plugin.
func fits(host, f *File) error {
	refuse := func(err error, hint string) error { return &Error{f.Path, err, hint} }
	if f.Build.GoVersion != host.Build.GoVersion {
		return refuse(fmt.Errorf("built with %s, this program with %s", f.Build.GoVersion, host.Build.GoVersion),
			"build both with the same Go, e.g. GOTOOLCHAIN="+strings.Fields(host.Build.GoVersion)[0])
	}
	if err := differs(host, f); err != nil {
		return refuse(err, mend(host, err))
	}
	if level := f.Setting("GOAMD64"); level > cpuLevel() {
		return refuse(fmt.Errorf("built for GOAMD64=%s, this processor has %s", level, cpuLevel()), "build it with GOAMD64="+cpuLevel())
	}
	if err := checkExports(f.Exports); err != nil {
		return refuse(err, `declare a variable such as: var Losses = api.Losses{"name": newLoss}`)
	}
	return nil
}

// differs compares the packages that are in both files.
func differs(host, f *File) *MismatchError {
	e := &MismatchError{}
	for _, pkg := range slices.Sorted(maps.Keys(f.Packages)) {
		if want, ok := host.Packages[pkg]; ok && want != f.Packages[pkg] {
			module, there := f.Module(pkg)
			_, here := host.Module(pkg)
			e.Mismatches = append(e.Mismatches, Mismatch{pkg, module, here, there})
		}
	}
	if len(e.Mismatches) == 0 {
		return nil
	}
	for _, key := range compared {
		switch here, there := host.Setting(key), f.Setting(key); {
		case here == there:
		case there == "":
			e.Settings = append(e.Settings, "built without "+key+", which this program was built with")
		case here == "":
			e.Settings = append(e.Settings, "built with "+key+", which this program was not")
		default:
			e.Settings = append(e.Settings, fmt.Sprintf("built with %s %q, this program with %q", key, there, here))
		}
	}
	return e
}

// mend says what to do about a mismatch.
func mend(host *File, e *MismatchError) string {
	if len(e.Settings) > 0 {
		return "build it with the same flags: swiftgo plugin build DIR"
	}
	var gets []string
	for _, m := range e.Mismatches {
		get := "go get " + m.Module + "@" + m.Host
		if strings.Contains(m.Plugin, " => ") {
			get = "go mod edit -dropreplace=" + m.Module
		}
		if m.Host != m.Plugin && m.Module != host.Build.Main.Path && m.Module != "std" && !slices.Contains(gets, get) {
			gets = append(gets, get)
		}
	}
	if len(gets) > 0 {
		return "in the plugin's folder: " + strings.Join(gets, "; ") + ", then " + rebuild
	}
	return rebuild
}

// cpuLevel returns the GOAMD64 level of this processor, "" on another machine.
func cpuLevel() string {
	x := &cpu.X86
	switch {
	case runtime.GOARCH != "amd64":
		return ""
	case !(x.HasSSE3 && x.HasSSSE3 && x.HasSSE41 && x.HasSSE42 && x.HasPOPCNT && x.HasCX16):
		return "v1"
	case !(x.HasAVX && x.HasAVX2 && x.HasBMI1 && x.HasBMI2 && x.HasFMA):
		return "v2"
	case !(x.HasAVX512F && x.HasAVX512BW && x.HasAVX512CD && x.HasAVX512DQ && x.HasAVX512VL):
		return "v3"
	}
	return "v4"
}

// conflicts notes with each candidate what keeps it from one before it.
func conflicts(host *File, all []*candidate) {
	for i, c := range all {
		for _, other := range all[:i] {
			if c.err != nil || other.err != nil {
				continue
			}
			if err := conflict(host, other.file, c.file); err != nil {
				c.err = &Error{c.path, err, "remove one of the two"}
			}
		}
	}
}

// duplicates notes with each candidate which of its extensions is in one before
// it.
func duplicates(all []*candidate) {
	first := map[string]*candidate{}
	for _, c := range all {
		if c.err != nil {
			continue
		}
		for _, name := range lockedNames(c.found.Names) {
			if other := first[name]; other != nil {
				kind, name, _ := strings.Cut(name, "/")
				c.err = &Error{c.path, fmt.Errorf("has the %s %s, which %s has too", kind, name, short(other.path)), "remove or rename one of them"}
				break
			}
		}
		if c.err == nil {
			for _, name := range lockedNames(c.found.Names) {
				first[name] = c
			}
		}
	}
}

func conflict(host, a, b *File) error {
	if same(a.Path, b.Path) {
		return fmt.Errorf("the same file as %s", a.Path)
	}
	if a.SHA256 == b.SHA256 {
		return fmt.Errorf("a copy of %s", a.Path)
	}
	if a.PluginPath == b.PluginPath {
		return fmt.Errorf("another build of %s: both are %s", a.Path, a.PluginPath)
	}
	var shared []string
	for _, pkg := range slices.Sorted(maps.Keys(b.Packages)) {
		if x, ok := a.Packages[pkg]; ok && host.Packages[pkg] == "" && x != b.Packages[pkg] {
			_, va := a.Module(pkg)
			_, vb := b.Module(pkg)
			shared = append(shared, fmt.Sprintf("%s (%s there, %s here)", pkg, va, vb))
		}
	}
	if len(shared) > 0 {
		return errors.New("built with other versions than " + a.Path + " of packages that the two share: " + strings.Join(shared, ", "))
	}
	return nil
}

func same(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
