package loader

import "swiftgo/api"

// Listing is a file of a plugin folder: what it offers, or why it does not fit.
type Listing struct {
	File     string              `json:"file"` // short, "plugins/focal.so"
	Path     string              `json:"path"`
	Size     int64               `json:"size"` // in bytes
	SHA256   string              `json:"sha256,omitempty"`
	Manifest api.Manifest        `json:"manifest"`
	Names    map[string][]string `json:"names,omitempty"` // by kind; null where only the kind is known
	Error    string              `json:"error,omitempty"`
	Hint     string              `json:"hint,omitempty"`
}

// Offers returns the extensions as "kind name", in the order of api.Exports.
func (l Listing) Offers() []string {
	var all []string
	for _, k := range kinds {
		names, ok := l.Names[k.kind]
		if ok && len(names) == 0 {
			all = append(all, k.kind)
		}
		for _, name := range names {
			all = append(all, k.kind+" "+name)
		}
	}
	return all
}

// List says what every .so file of a folder is, without opening any in this
// process. It fails only if the folder, or this program, cannot be read.
func List(dir string) ([]Listing, error) {
	files, errs, err := inspectFolder(dir)
	if err != nil {
		return nil, err
	}
	wrong := map[string]*Error{}
	for _, e := range errs {
		wrong[e.Path] = e
	}
	all := make([]Listing, len(files))
	for i, f := range files {
		all[i] = list(f, wrong[f.Path])
	}
	return all, nil
}

// list describes one file, of which it is known what is wrong with it.
func list(f *File, wrong *Error) Listing {
	l := Listing{File: short(f.Path), Path: f.Path, Size: f.Size, SHA256: f.SHA256, Names: map[string][]string{}}
	for _, e := range f.Exports {
		for _, k := range kinds {
			if e.Name == k.variable {
				l.Names[k.kind] = nil
			}
		}
	}
	if wrong == nil {
		var r report
		if r, wrong = probe(f, Options{}.timeout()); wrong == nil {
			l.Manifest, l.Names = r.Manifest, r.Names
		}
	}
	if wrong != nil {
		l.Error, l.Hint = wrong.cause(), wrong.Hint
	}
	return l
}
