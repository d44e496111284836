package build

import (
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"swiftgo/loader"
)

// TestFlagsOf takes flags and environment from how a host was built, and refuses
// hosts that no plugin fits.
func TestFlagsOf(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings []debug.BuildSetting
		flags    []string
		env      string // one that must be there
		err      string
	}{
		{"usual", []debug.BuildSetting{{Key: "-buildmode", Value: "exe"}, {Key: "-trimpath", Value: "true"}, {Key: "GOAMD64", Value: "v1"}}, []string{"-trimpath=true"}, "GOAMD64=v1", ""},
		{"race and tags", []debug.BuildSetting{{Key: "-race", Value: "true"}, {Key: "-tags", Value: "a,b"}, {Key: "-trimpath", Value: "true"}, {Key: "GOEXPERIMENT", Value: "jsonv2"}},
			[]string{"-race=true", "-tags=a,b", "-trimpath=true"}, "GOEXPERIMENT=jsonv2", ""},
		{"the author's experiments do not count", []debug.BuildSetting{{Key: "-trimpath", Value: "true"}}, []string{"-trimpath=true"}, "GOEXPERIMENT=", ""},
		{"untrimmed", nil, nil, "", "this swiftgo was built without -trimpath, so only plugins that are built in the very same folders fit it; build swiftgo with ./build.sh"},
		{"profile", []debug.BuildSetting{{Key: "-trimpath", Value: "true"}, {Key: "-pgo", Value: "default.pgo"}}, nil, "", "built with the profile default.pgo"},
		{"coverage", []debug.BuildSetting{{Key: "-cover", Value: "true"}, {Key: "-trimpath", Value: "true"}}, nil, "", "built with -cover"},
	} {
		g := &toolchain{}
		flags, err := g.flagsOf(&loader.File{Build: &debug.BuildInfo{Settings: c.settings}})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want an error with %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil || !slices.Equal(flags, c.flags) || !slices.Contains(g.env, c.env) {
			t.Errorf("%s: flags %q, environment %q, %v; want %q and %s", c.name, flags, g.env, err, c.flags, c.env)
		}
	}
}

func TestOwnFlags(t *testing.T) {
	if got, want := ownFlags("-mod=mod -p=2 -tags=x -modcacherw -ldflags=-w"), "-buildvcs=false -p=2 -modcacherw"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
