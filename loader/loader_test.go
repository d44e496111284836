package loader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"swiftgo/api"
)

// built is the folder with the host of testdata and its plugins. They are
// programs of their own, so it does not matter how this test was built.
var built string

// TestMain builds them, with one set of flags, but for "untrimmed".
func TestMain(m *testing.M) {
	const shared = "LOADER_TEST_BUILT" // by the process whose fuzzing worker this is
	if built = os.Getenv(shared); built != "" {
		os.Exit(m.Run())
	}
	var err error
	if built, err = os.MkdirTemp("", "loader"); err == nil {
		err = buildAll()
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		os.Setenv(shared, built)
		os.Setenv("SWIFTGO_CACHE_DIR", filepath.Join(built, "cache"))
		code = m.Run()
	}
	os.RemoveAll(built)
	os.Exit(code)
}

func buildAll() error {
	if err := goBuild("host", "host", "-trimpath"); err != nil {
		return err
	}
	for _, name := range []string{"nine", "second"} {
		source := name
		if name == "second" { // of an import path that the linker has to escape
			source += ".v2"
		}
		if err := goBuild(source, name+".so", "-trimpath", "-buildmode=plugin"); err != nil {
			return err
		}
	}
	return goBuild("../../cmd/swiftgo/testdata/bad/nothing", "small.so", "-trimpath", "-buildmode=plugin")
}

func goBuild(source, to string, flags ...string) error {
	c := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(built, to)}, flags...), "./testdata/"+source)...)
	c.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=1")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", c.Args, err, out)
	}
	return nil
}

// answer is what the host prints.
type answer struct {
	Plugins []struct {
		Name, File, SHA256, PluginPath string
		Manifest                       api.Manifest
		Kinds                          int
		Loss                           string
	}
	Listings []Listing
	Skipped  []Skip
	Offers   [][]string
	Left     []string
	Error    string
}

// folder returns a folder "plugins" with links to files of the names given.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plugins")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Link(filepath.Join(built, f), filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run has the host do its work on dir with the options, as JSON, and returns its
// answer with dir left out of all paths.
func run(t *testing.T, mode, dir string, options ...string) answer {
	t.Helper()
	c := exec.Command(filepath.Join(built, "host"), append([]string{mode, dir}, options...)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("the host: %v\n%s", err, stderr.String())
	}
	var a answer
	if err := json.Unmarshal(bytes.ReplaceAll(out, []byte(dir+"/"), nil), &a); err != nil {
		t.Fatalf("the host printed %s: %v", out, err)
	}
	return a
}

func TestLoad(t *testing.T) {
	dir := folder(t, "second.so", "nine.so")
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, start := range []string{"first", "second"} { // the second finds everything in the store
		a := run(t, "load", dir)
		if a.Error != "" || len(a.Plugins) != 2 {
			t.Fatalf("%s start: %d plugins, error %s", start, len(a.Plugins), a.Error)
		}
		nine, second := a.Plugins[0], a.Plugins[1]
		if nine.Name != "nine" || nine.Manifest.Name != "all nine" || nine.Manifest.Version != "1.2.3" || nine.File != "plugins/nine.so" || nine.Kinds != 9 {
			t.Errorf("%s start: %+v", start, nine)
		}
		if nine.PluginPath != "swiftgo/loader/testdata/nine" || len(nine.SHA256) != 64 {
			t.Errorf("%s start: %+v", start, nine)
		}
		if nine.Loss != "nine_loss is told gamma = 1" {
			t.Errorf("%s start: the plugin's code says %q", start, nine.Loss)
		}
		if second.Name != "second" || second.PluginPath != "swiftgo/loader/testdata/second%2ev2" || second.Kinds != 2 {
			t.Errorf("%s start: %+v", start, second)
		}
	}
	if a := run(t, "load", folder(t)); a.Error != "" || len(a.Plugins) != 0 {
		t.Errorf("an empty folder: %+v", a)
	}
}

// matches checks got, where … stands for anything in want.
func matches(t *testing.T, got, want string) {
	t.Helper()
	pattern := "(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*") + "$"
	if !regexp.MustCompile(pattern).MatchString(got) {
		t.Errorf("error %s\n want %s", got, want)
	}
}

func TestMissingFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	for _, mode := range []string{"load", "list"} {
		matches(t, run(t, mode, dir).Error, "the plugin folder "+dir+" is not there; give another with --plugins_dir or SWIFTGO_PLUGINS_DIR: …")
	}
}

func TestList(t *testing.T) {
	dir := folder(t, "nine.so", "second.so")
	if err := os.WriteFile(filepath.Join(dir, "text.so"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := run(t, "list", dir)
	if a.Error != "" || len(a.Listings) != 3 {
		t.Fatalf("%d files, error %s", len(a.Listings), a.Error)
	}
	for i, want := range []struct{ file, offers, err string }{
		{"plugins/nine.so", "loss nine_loss, loss_scale nine_scale, metric nine_metric, optimizer nine_optimizer, callback nine_callback, agent_template nine_agent, tuner nine_tuner, orm nine_orm, prm nine_prm", ""},
		{"plugins/second.so", "metric a, metric b", ""},
		{"plugins/text.so", "", "not an ELF file, so not a plugin"},
	} {
		l := a.Listings[i]
		if l.File != want.file || strings.Join(a.Offers[i], ", ") != want.offers {
			t.Errorf("file %s offers %v, want %s of %s", l.File, a.Offers[i], want.offers, want.file)
		}
		matches(t, l.Error, want.err)
		if (l.Error == "") != (l.Hint == "") {
			t.Errorf("%s: error %q, hint %q", l.File, l.Error, l.Hint)
		}
		if l.Error != "" {
			continue
		}
		if info, err := os.Stat(filepath.Join(built, filepath.Base(l.File))); err != nil || l.Size != info.Size() || len(l.SHA256) != 64 {
			t.Errorf("%s: size %d, sha256 %q, %v", l.File, l.Size, l.SHA256, err)
		}
	}
	if m := a.Listings[0].Manifest; m.Name != "all nine" || m.License != "MIT" {
		t.Errorf("manifest %+v", m)
	}
}

// TestProbeWithoutMain has the host think that it is a child already.
func TestProbeWithoutMain(t *testing.T) {
	t.Setenv(probeEnv, "x")
	_, err := probe(&File{Path: "x.so"}, "x.so", Options{}.timeout())
	if err == nil || !strings.Contains(err.Error(), "ProbeMain") {
		t.Errorf("error %v", err)
	}
}

// TestLock holds a folder to its lock file.
func TestLock(t *testing.T) {
	dir := folder(t, "nine.so", "second.so")
	if a := run(t, "lock", dir); a.Error != "" {
		t.Fatal(a.Error)
	}
	const locked = `{"Locked": true}`
	if a := run(t, "load", dir, locked); a.Error != "" || len(a.Plugins) != 2 {
		t.Fatalf("%d plugins, error %s", len(a.Plugins), a.Error)
	}
	second := filepath.Join(dir, "second.so")
	data, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	replaceFile := func(path string, data []byte) {
		os.Remove(path) // it is a link
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	replaceFile(second, append(data, 0))
	matches(t, run(t, "load", dir, locked).Error, "second.so: not the file of plugins.lock: sha256 is …, want …; bring the locked file back, or …")
	replaceFile(second, data)
	replaceFile(filepath.Join(dir, "third.so"), append(data, 0))
	matches(t, run(t, "load", dir, `{"Locked": true, "Only": ["nine", "third"]}`).Error, "third.so: not in plugins.lock; remove it, or …")
	os.Remove(filepath.Join(dir, "third.so"))
	os.Remove(second)
	matches(t, run(t, "load", dir, locked).Error, "second.so: in plugins.lock, but not there; bring it back, or swiftgo plugin lock …")
	replaceFile(filepath.Join(dir, LockFile), []byte("nine.so abc x loss/a\n"))
	matches(t, run(t, "load", dir, locked).Error, `…plugins.lock: line 1: "abc", want a sha256 of 64 hex digits; write it again with swiftgo plugin lock …`)
	os.Remove(filepath.Join(dir, LockFile))
	matches(t, run(t, "load", dir, locked).Error, "…plugins.lock is not there, but --plugins_locked is given; write it with …")
}

// FuzzLock sees that what a lock file says survives being written again.
func FuzzLock(f *testing.F) {
	f.Add([]byte(lockHead + "a.so " + strings.Repeat("0a", 32) + " example.com/a loss/a metric/b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parseLock(data)
		if err != nil {
			return
		}
		var text strings.Builder
		for _, l := range all {
			fmt.Fprintln(&text, l)
		}
		again, err := parseLock([]byte(text.String()))
		if err != nil || !reflect.DeepEqual(again, all) {
			t.Errorf("%q became %q, %v", data, text.String(), err)
		}
	})
}

// TestPolicy leaves out, misses and names plugins.
func TestPolicy(t *testing.T) {
	dir := folder(t, "nine.so", "second.so")
	if err := os.WriteFile(filepath.Join(dir, "text.so"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		options, plugins, left, err string
	}{
		{`{}`, "", "", "text.so: not an ELF file…"},
		{`{"Policy": {"text": "optional"}}`, "nine second", "text.so: not an ELF file…", ""},
		{`{"Policy": {"text": "off", "nine": "off"}}`, "second", "", ""},
		{`{"Only": ["second.so"]}`, "second", "", ""},
		{`{"Only": ["secnd"]}`, "", "", "secnd.so: not there, but asked for; there are nine, second, text; …"},
		{`{"Policy": {"text": "off", "third": "required"}}`, "", "", "third.so: not there, but asked for; …"},
		{`{"Policy": {"text": "off", "third": "optional"}}`, "nine second", "", ""},
	} {
		a := run(t, "load", dir, c.options)
		var names []string
		for _, p := range a.Plugins {
			names = append(names, p.Name)
		}
		if strings.Join(names, " ") != c.plugins {
			t.Errorf("%s: plugins %v, want %s", c.options, names, c.plugins)
		}
		matches(t, a.Error, c.err)
		matches(t, strings.Join(a.Left, ""), c.left)
	}
}

// TestOverwritten writes over a plugin after it was checked: what is opened is
// what was checked.
func TestOverwritten(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "nine.so")
	data, err := os.ReadFile(filepath.Join(built, "nine.so"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	private, digest, err := s.take(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[len(data)/2:])
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := Inspect(private)
	if err != nil || f.SHA256 != digest || f.PluginPath != "swiftgo/loader/testdata/nine" {
		t.Errorf("the copy is %+v, %v", f, err)
	}
	if _, changed, err := s.take(path); err != nil || changed == digest {
		t.Errorf("the changed file has the digest of the old one, %v", err)
	}
}

// TestSignature signs with one key and trusts others.
func TestSignature(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "second.so")
	data, err := os.ReadFile(filepath.Join(built, "second.so"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	key := func(name, password string) Key {
		k, err := GenerateKey(filepath.Join(dir, name), password)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ours, other := key("ours", "secret"), key("other", "")
	check := func(want string, keys ...Key) {
		t.Helper()
		text := ""
		if err := signed(keys, path, path); err != nil {
			text = err.Error()
		}
		matches(t, strings.ReplaceAll(text, dir+"/", ""), want)
	}
	check("second.so: not signed: no second.so.minisig beside it, and --plugins_trusted_keys is given; sign it: …", ours)
	if err := Sign(path, filepath.Join(dir, "ours"), func() (string, error) { return "wrong", nil }); err == nil {
		t.Error("signed with a wrong password")
	}
	if err := Sign(path, filepath.Join(dir, "ours"), func() (string, error) { return "secret", nil }); err != nil {
		t.Fatal(err)
	}
	check("", other, ours)
	check("second.so: signed by key …, which is not trusted; trusted are …; have it signed by one of them, or …", other)
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	check("second.so: its signature by key … is not for this content: the file was changed after it was signed; bring the signed file back, or …", ours)
	if k, err := ParseKey(ours.String()); err != nil || !k.Equal(ours) {
		t.Errorf("the key as text is %v, %v", k, err)
	}
	if k, err := ParseKey(filepath.Join(dir, "ours.pub")); err != nil || !k.Equal(ours) {
		t.Errorf("the key in a file is %v, %v", k, err)
	}
}

// TestOwner checks who may write where.
func TestOwner(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.so")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, file os.FileMode
		check     OwnerCheck
		want      string
	}{
		{0o755, 0o644, OwnerStrict, ""},
		{0o755, 0o664, OwnerStrict, "x.so can be written by its group, …"},
		{0o755, 0o664, OwnerGroup, ""},
		{0o755, 0o646, OwnerGroup, "x.so can be written by everybody …"},
		{0o755, 0o666, OwnerOff, ""},
		{0o777, 0o644, OwnerStrict, "…can be written by everybody …"},
		{0o777 | os.ModeSticky, 0o644, OwnerStrict, ""},
		{0o775, 0o644, OwnerStrict, "…can be written by its group, …"},
	} {
		if err := errors.Join(os.Chmod(dir, c.dir), os.Chmod(path, c.file)); err != nil {
			t.Fatal(err)
		}
		text := ""
		var e *Error
		if err := c.check.Trusted(path); errors.As(err, &e) {
			text = e.Err.Error()
		} else if err != nil {
			text = err.Error()
		}
		matches(t, strings.ReplaceAll(text, dir+"/", ""), c.want)
	}
}
