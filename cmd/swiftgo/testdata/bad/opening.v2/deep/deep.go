// Package deep panics while it is opened, if BAD_PLUGIN says so.
package deep

import "os"

// Three is more than an empty slice has.
var Three = len("abc")

func init() {
	if os.Getenv("BAD_PLUGIN") == "dependency" {
		panic("no database")
	}
}
