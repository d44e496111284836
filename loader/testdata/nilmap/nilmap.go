// Nilmap has a name without a constructor, and one that is none.
package main

import "swiftgo/api"

var Losses = api.Losses{"plain": nil}

var ORMs = api.ORMs{"My ORM": func(*api.Args) (api.ORM, error) { return nil, nil }}

func main() {}
