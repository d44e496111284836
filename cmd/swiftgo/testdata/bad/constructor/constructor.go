// Constructor has constructors that do not construct.
package main

import "swiftgo/api"

var Losses = api.Losses{
	"panics":  func(*api.Args) (api.Loss, error) { panic("not today") },
	"nothing": func(*api.Args) (api.Loss, error) { return nil, nil },
}

func main() {}
