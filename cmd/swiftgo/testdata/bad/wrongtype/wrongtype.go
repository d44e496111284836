// Wrongtype has a map of losses where one of constructors is wanted, and a
// function where a map is.
package main

import "swiftgo/api"

var Losses = map[string]api.LossFunc{"plain": nil}

func Metrics() {}

func main() {}
