package dataset

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// spec is what --dataset names.
type spec struct {
	text  string
	files []string
	draw  int // rows to draw; 0 is all rows
}

// endings are those of files with rows.
var endings = []string{".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet"}

// parseSpec finds the files of path, path#n or folder:part/part#n. A file that
// is really called so is taken whole.
func parseSpec(text string) (spec, error) {
	s := spec{text: text}
	for _, hub := range []string{"hf::", "ms::"} {
		if len(text) >= len(hub) && strings.EqualFold(text[:len(hub)], hub) {
			return s, fmt.Errorf("dataset %s: datasets of hubs are not downloaded; download it and name the folder", text)
		}
	}
	path := text
	if at := strings.LastIndex(path, "#"); at >= 0 && !exists(path) {
		n, err := strconv.Atoi(path[at+1:])
		if err != nil || n < 1 {
			return s, fmt.Errorf("dataset %s: the number of rows is %q, want 1 or more", text, path[at+1:])
		}
		path, s.draw = path[:at], n
	}
	paths := []string{path}
	if at := strings.LastIndex(path, ":"); at > 0 && !exists(path) && exists(path[:at]) {
		paths = nil
		for _, part := range strings.Split(path[at+1:], "/") {
			paths = append(paths, filepath.Join(path[:at], part))
		}
	}
	for _, p := range paths {
		found, err := find(p)
		if err != nil {
			return s, fmt.Errorf("dataset %s: %w", text, err)
		}
		s.files = append(s.files, found...)
	}
	return s, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// find returns the files of a path: itself, all in a folder, what a pattern
// fits, or the files of that name with any of the endings.
func find(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return inFolder(path)
	case err == nil:
		return []string{path}, nil
	case !os.IsNotExist(err):
		return nil, err
	}
	if strings.ContainsAny(path, "*?[") {
		found, err := filepath.Glob(path)
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("no file fits %s", path)
		}
		slices.Sort(found)
		var files []string
		for _, f := range found {
			more, err := find(f)
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
		}
		return files, nil
	}
	var files []string
	for _, ending := range endings {
		if exists(path + ending) {
			files = append(files, path+ending)
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no such file or folder; want rows on this machine: %s", strings.Join(endings, ", "))
	}
	return files, nil
}

// inFolder returns the files with rows in a folder and those below it.
func inFolder(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != dir:
			return filepath.SkipDir
		case !d.IsDir() && slices.Contains(endings, strings.ToLower(filepath.Ext(path))) && d.Name() != "dataset_infos.json":
			files = append(files, path)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("the folder has no file of rows; want %s", strings.Join(endings, ", "))
	}
	return files, err
}
