// Second has two metrics and no manifest.
package main

import "swiftgo/api"

var Metrics = api.Metrics{"b": newMetric, "a": newMetric}

func newMetric(*api.Args) (api.Metric, error) { return nil, nil }

func main() {}
