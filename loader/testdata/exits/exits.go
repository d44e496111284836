// Exits ends the process while it is opened, as if all were well.
package main

import (
	"os"

	"swiftgo/api"
)

var Losses = api.Losses{"plain": func(*api.Args) (api.Loss, error) { return nil, nil }}

func init() { os.Exit(0) }

func main() {}
