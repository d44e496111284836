// Renamed has a type and a name that are both almost right.
package main

import "swiftgo/api"

var Metric = map[string]api.Metric{}

func main() {}
