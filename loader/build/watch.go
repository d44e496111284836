package build

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long nothing must change before a change is told: editors write
// a file in several steps.
const settle = 150 * time.Millisecond

// Watch sends on the channel each time the sources of the module that the plugin
// in dir belongs to have changed, until ctx ends, and then closes it.
func Watch(ctx context.Context, dir string) (<-chan struct{}, error) {
	dir, err := packageDir(dir)
	if err != nil {
		return nil, err
	}
	root, err := moduleRoot(dir)
	if err != nil {
		return nil, err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", dir, err)
	}
	if err := watchTree(w, cmp.Or(root, dir)); err != nil {
		w.Close()
		return nil, fmt.Errorf("watching %s: %w", cmp.Or(root, dir), err)
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		defer w.Close()
		quiet := time.NewTimer(settle)
		quiet.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-w.Events:
				if e.Has(fsnotify.Create) {
					if info, err := os.Stat(e.Name); err == nil && info.IsDir() {
						watchTree(w, e.Name) // or it is gone again
						quiet.Reset(settle)
					}
				}
				if isSource(e.Name) && !e.Has(fsnotify.Chmod) {
					quiet.Reset(settle)
				}
			case <-w.Errors: // events were lost
				quiet.Reset(settle)
			case <-quiet.C:
				select {
				case changed <- struct{}{}:
				default: // it will be seen with the one before
				}
			}
		}
	}()
	return changed, nil
}

func watchTree(w *fsnotify.Watcher, root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if path != root && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		return w.Add(path)
	})
}

func isSource(path string) bool {
	name := filepath.Base(path)
	return name == "go.mod" || strings.HasSuffix(name, ".go") && !strings.HasPrefix(name, ".")
}
