// Otherapi is written against another package that is called api.
package main

import "swiftgo/cmd/swiftgo/testdata/bad/otherapi/api"

var Losses = map[string]func(*api.Args) (api.Loss, error){"plain": nil}

func main() {}
