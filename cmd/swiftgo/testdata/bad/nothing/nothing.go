// Nothing has nothing for the loader.
package main

var Version = "1.0"

func main() {}
