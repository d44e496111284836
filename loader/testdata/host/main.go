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
		Skipped  []loader.Skip
		Offers   [][]string
		Left     []string
		Error    string
	}
	mode, dir, o := os.Args[1], os.Args[2], loader.Options{Timeout: 2 * time.Second}
	if len(os.Args) > 3 {
		if err := json.Unmarshal([]byte(os.Args[3]), &o); err != nil {
			panic(err)
		}
	}
	var err error
	switch mode {
	case "list":
		result.Listings, result.Skipped, err = loader.List(dir, o)
		for _, l := range result.Listings {
			result.Offers = append(result.Offers, l.Offers())
		}
	case "lock":
		_, err = loader.WriteLock(dir, o)
	case "load":
		var all []*loader.Plugin
		var left loader.Errors
		all, left, err = loader.Load(dir, o)
		for _, e := range left {
			result.Left = append(result.Left, e.Error())
		}
		for _, p := range all {
			var d plugin
			if d, err = describe(p); err != nil {
				break
			}
			result.Plugins = append(result.Plugins, d)
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

func describe(p *loader.Plugin) (plugin, error) {
	e, err := p.Open()
	d := plugin{Name: p.Name, File: p.File(), SHA256: p.SHA256, PluginPath: p.PluginPath, Manifest: p.Manifest}
	for _, n := range []int{len(e.Losses), len(e.LossScales), len(e.Metrics), len(e.Optimizers), len(e.Callbacks), len(e.AgentTemplates), len(e.Tuners), len(e.ORMs), len(e.PRMs)} {
		d.Kinds += n
	}
	for name, construct := range e.Losses {
		if _, err := construct(&api.Args{Name: name, Own: map[string]any{"gamma": 1.0}}); err != nil {
			d.Loss = err.Error()
		}
	}
	return d, err
}
