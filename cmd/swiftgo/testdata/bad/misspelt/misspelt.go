// Misspelt has losses under a name that nobody looks for.
package main

import "swiftgo/api"

var Loss = api.Losses{"plain": func(*api.Args) (api.Loss, error) { return nil, nil }}

func main() {}
