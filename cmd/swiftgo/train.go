package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"swiftgo/core/builtin"
	"swiftgo/core/recipe"
	"swiftgo/core/registry"
	"swiftgo/loader"
)

// trainCommand is sft or pt: one recipe, with other defaults.
func trainCommand(name string, s *settings) *cobra.Command {
	defaults := recipe.Default()
	cmd := &cobra.Command{Use: name, Args: cobra.NoArgs}
	switch name {
	case "sft":
		cmd.Short = "fine-tune a model on conversations"
		cmd.Long = `Fine-tune a model on conversations. The settings of an extension, built in or
from a plugin, are given as --NAME.key value, e.g. --focal.gamma 1.5.`
	case "pt":
		cmd.Short = "train a model on text"
		cmd.Long = "Train a model on text: as sft, without a chat template, and on every token."
		defaults.LossScale, defaults.UseChatTemplate = "all", false
	}
	addFlags(cmd.Flags(), defaults, everything)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, own, err := s.load(cmd.Flags(), defaults)
		if err != nil {
			return err
		}
		if err := c.Complete(); err != nil {
			return err
		}
		reg, err := open(&c, own)
		if err != nil {
			return err
		}
		_, err = recipe.SFT(cmd.Context(), c, reg, os.Stdout, loader.ReportCrashes)
		return err
	}
	return cmd
}

// open returns a registry of the built-in extensions and those of the plugins.
func open(c *recipe.Config, own map[string]map[string]any) (*registry.Registry, error) {
	plugins, err := load(c)
	if err != nil {
		return nil, err
	}
	return register(c, own, plugins)
}

func register(c *recipe.Config, own map[string]map[string]any, plugins []*loader.Plugin) (*registry.Registry, error) {
	reg := registry.New(c.Args(), own)
	for name, values := range c.OwnDefaults() {
		reg.Defaults(name, values)
	}
	for _, o := range c.Override {
		if err := reg.AllowOverride(o); err != nil {
			return nil, err
		}
	}
	if err := reg.Add(registry.Origin{}, builtin.Exports()); err != nil {
		return nil, err
	}
	for _, p := range plugins {
		o := registry.Origin{File: p.File(), Path: p.Path, SHA256: p.SHA256, PluginName: p.Manifest.Name, Version: p.Manifest.Version, Packages: p.Packages}
		if err := reg.AddLazy(o, p.Names, p.Open); err != nil {
			return nil, err
		}
	}
	return reg, nil
}

// load returns the plugins that the settings ask for.
func load(c *recipe.Config) ([]*loader.Plugin, error) {
	o, err := pluginOptions(c)
	if err != nil {
		return nil, err
	}
	dir, named := pluginsDir(c)
	asked := named || len(o.Only) > 0 || len(o.Policy) > 0 || o.Locked
	if _, err := os.Stat(dir); err != nil && !asked {
		return nil, nil // a binary without plugins beside it
	}
	plugins, left, err := loader.Load(dir, o)
	for _, e := range left {
		slog.Warn("the run goes on without an optional plugin", "error", e)
	}
	return plugins, err
}
