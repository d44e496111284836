// Package api is not the one that plugins are written against.
package api

// Args is not swiftgo's.
type Args struct{}

// Loss is not swiftgo's.
type Loss interface{ Compute() }
