// Panics panics while it is opened.
package main

import "swiftgo/api"

var Losses = api.Losses{"plain": func(*api.Args) (api.Loss, error) { return nil, nil }}

func init() {
	var sizes []int
	Losses = api.Losses{"plain": Losses["plain"], string(rune('a' + sizes[3])): nil}
}

func main() {}
