// Function has a function where a variable is wanted.
package main

import "swiftgo/api"

func Losses() api.Losses { return nil }

func main() {}
