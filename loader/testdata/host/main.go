// Host loads or lists the plugins of a folder, as swiftgo does, and prints what
// it found as JSON.
package main

import (
	"encoding/json"
	"os"
	"time"

	"swiftgo/api"
	"swiftgo/loader"
)

func main() {
	loader.ProbeMain()
	var result struct {
		Plugins  []plugin
		Listings []loader.Listing
		Offers   [][]string
		Error    string
	}
	mode, dir := os.Args[1], os.Args[2]
	var err error
	if mode == "list" {
		result.Listings, err = loader.List(dir)
		for _, l := range result.Listings {
			result.Offers = append(result.Offers, l.Offers())
		}
	} else {
		var all []*loader.Plugin
		all, err = loader.Load(dir, loader.Options{NoProbe: mode == "noprobe", Timeout: 2 * time.Second})
		for _, p := range all {
			result.Plugins = append(result.Plugins, describe(p))
		}
	}
	if err != nil {
		result.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		panic(err)
	}
}

// plugin is a loader.Plugin with what its loss makes of a setting.
type plugin struct {
	Name, File, SHA256, PluginPath string
	Manifest                       api.Manifest
	Kinds                          int
	Loss                           string
}

func describe(p *loader.Plugin) plugin {
	e := &p.Exports
	d := plugin{Name: p.Name, File: p.File(), SHA256: p.SHA256, PluginPath: p.PluginPath, Manifest: p.Manifest}
	for _, n := range []int{len(e.Losses), len(e.LossScales), len(e.Metrics), len(e.Optimizers), len(e.Callbacks), len(e.AgentTemplates), len(e.Tuners), len(e.ORMs), len(e.PRMs)} {
		d.Kinds += n
	}
	for name, construct := range e.Losses {
		if _, err := construct(&api.Args{Name: name, Own: map[string]any{"gamma": 1.0}}); err != nil {
			d.Loss = err.Error()
		}
	}
	return d
}
