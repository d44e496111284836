package recipe

import (
	"slices"
	"strings"
	"testing"
)

// complete returns completed settings of a run that has what change says.
func complete(change func(c *Config)) (Config, error) {
	c := Default()
	c.Model, c.Dataset = "model", []string{"rows.jsonl"}
	change(&c)
	return c, c.Complete()
}

// TestImplied sees extensions chosen by the settings that are for them.
func TestImplied(t *testing.T) {
	for _, x := range []struct {
		change    func(c *Config)
		optimizer string
		callbacks []string
	}{
		{func(*Config) {}, "adamw", nil},
		{func(c *Config) { c.EarlyStopInterval = 2 }, "adamw", []string{"early_stop"}},
		{func(c *Config) { c.EarlyStopInterval, c.Callbacks = 2, []string{"early_stop"} }, "adamw", []string{"early_stop"}},
		{func(c *Config) { c.LisaActivatedLayers, c.TunerType, c.Callbacks = 2, "full", []string{"perf_log"} }, "adamw", []string{"perf_log", "lisa"}},
		{func(c *Config) { c.LorapLrRatio = 16 }, "lorap", nil},
		{func(c *Config) { c.Optim = "adamw_bnb_8bit" }, "adamw_8bit", nil},
		{func(c *Config) { c.Optim, c.UseGalore = "adamw_torch", true }, "galore", nil},
		{func(c *Config) { c.UseGalore, c.Optimizer = true, "galore" }, "galore", nil},
	} {
		c, err := complete(x.change)
		if err != nil || c.Optimizer != x.optimizer || !slices.Equal(c.Callbacks, x.callbacks) {
			t.Errorf("optimizer %s, callbacks %v, %v; want %s, %v", c.Optimizer, c.Callbacks, err, x.optimizer, x.callbacks)
		}
	}
	for want, change := range map[string]func(c *Config){
		"--use_galore chooses the optimizer galore, and --optimizer sgd is given": func(c *Config) { c.UseGalore, c.Optimizer = true, "sgd" },
		"--use_galore chooses the optimizer galore, and --optimizer adafactor":    func(c *Config) { c.UseGalore, c.Optim = true, "adafactor" },
		`--optim is "adam", want adafactor, adamw_8bit, `:                         func(c *Config) { c.Optim = "adam" },
		"lisa is for --tuner_type full, and it is lora":                           func(c *Config) { c.LisaActivatedLayers = 2 },
		"--vit_lr and --aligner_lr are for built-in optimizers":                   func(c *Config) { c.VitLr, c.Optimizer = 1, "custom" },
		"--group_by_length goes with neither --packing":                           func(c *Config) { c.GroupByLength, c.Packing = true, true },
		`--max_wall_time is "3", want a time such as 3h30m`:                       func(c *Config) { c.MaxWallTime = "3" },
		`--nan_policy is "go", want stop, skip, log`:                              func(c *Config) { c.NanPolicy = "go" },
		"--early_stop_interval is -1, want 0 or more":                             func(c *Config) { c.EarlyStopInterval = -1 },
	} {
		if _, err := complete(change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestOwnDefaults sees a flag reach all extensions that it is for, and none that
// nobody gave.
func TestOwnDefaults(t *testing.T) {
	c, err := complete(func(c *Config) { c.AdamBeta1, c.LrGroups, c.LoraDropout = 0, []string{"a=1"}, 0 })
	if err != nil {
		t.Fatal(err)
	}
	own := c.OwnDefaults()
	if own["muon"]["beta1"] != 0.0 || own["adamw"]["beta1"] != 0.0 || own["sgd"]["beta1"] != nil || own["sgd"]["lr_groups"] == nil || own["lora"]["dropout"] != 0.0 {
		t.Errorf("settings of extensions %v", own)
	}
	if own["galore"]["rank"] != nil || own["early_stop"] != nil {
		t.Errorf("settings that were not given: %v, %v", own["galore"], own["early_stop"])
	}
}
