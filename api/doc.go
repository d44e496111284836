// Package api is what a swiftgo plugin is written against.
//
// A plugin is a Go main package, built with -buildmode=plugin, that exports
// one or more of nine variables. Each variable is a map from a name to a
// constructor, and is named after its type in this package:
//
//	variable        constructs       chosen with
//	Losses          Loss             --loss_type
//	LossScales      LossScale        --loss_scale
//	Metrics         Metric           --eval_metric
//	Optimizers      Optimizer        --optimizer
//	Callbacks       *Callback        --callbacks
//	AgentTemplates  AgentTemplate    --agent_template
//	Tuners          Tuner            --tuner_type
//	ORMs            ORM              --orm_model
//	PRMs            PRM              --prm_model
//
// This is a whole plugin:
//
//	package main
//
//	import "swiftgo/api"
//
//	var Losses = api.Losses{"plain": newPlain}
//
//	func newPlain(*api.Args) (api.Loss, error) { return api.LossFunc(plain), nil }
//
//	func plain(out *api.Output, b *api.Batch) (*api.Var, error) {
//		return out.CrossEntropy(b.Labels), nil
//	}
//
//	func main() {}
//
// A plugin may also export a variable Plugin of type Manifest.
//
// The interfaces here are the things a plugin implements; everything a plugin
// is handed is a concrete type. Interfaces marked optional are looked for with
// a type assertion on what the constructor returned. Unless its comment says
// otherwise, an extension is called from one goroutine at a time, and may keep
// nothing that it is handed beyond the call.
//
// A plugin's package variables and init functions must have no effect outside
// the plugin: the loader runs them once more in a process of its own to see
// that they end well.
package api

// Version is the semantic version of this contract.
const Version = "0.3.0"
