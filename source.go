// Package swiftgo holds the source of what a plugin is compiled against, so that
// a swiftgo binary can build plugins where there is no checkout of swiftgo.
package swiftgo

import "embed"

// Source is packages api and api/apitest, and the versions of what they import.
//
//go:embed go.mod go.sum api/*.go api/apitest/*.go
var Source embed.FS

// Authors is what docs/authors.md says: a section for each kind of extension.
//
//go:embed docs/authors.md
var Authors string
