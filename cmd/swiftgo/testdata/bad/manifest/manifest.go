// Manifest describes itself in a way of its own.
package main

import "swiftgo/api"

var Plugin = map[string]string{"name": "manifest"}

var Losses = api.Losses{"plain": func(*api.Args) (api.Loss, error) { return nil, nil }}

func main() {}
