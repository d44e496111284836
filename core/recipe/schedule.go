package recipe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"swiftgo/api"
)

// scheduler makes the learning rate of a run: lr at most, after so many steps of
// warm-up.
type scheduler func(lr float64, warmup, steps int) (api.Schedule, error)

// schedulers are those of transformers, by --lr_scheduler_type. Each is given
// --lr_scheduler_kwargs, which are named as there.
var schedulers = map[string]func(kwargs string) (scheduler, error){
	"linear":               without(func(lr float64, warmup, steps int) api.Schedule { return api.LinearDecay(lr, warmup, steps) }),
	"constant":             without(func(lr float64, _, _ int) api.Schedule { return api.Constant(lr, 0) }),
	"constant_with_warmup": without(func(lr float64, warmup, _ int) api.Schedule { return api.Constant(lr, warmup) }),
	"cosine":               cosine, "cosine_with_restarts": cosineWithRestarts, "polynomial": polynomial, "inverse_sqrt": inverseSqrt,
	"cosine_with_min_lr": cosineWithMin, "cosine_warmup_with_min_lr": cosineWarmupWithMin, "warmup_stable_decay": warmupStableDecay,
	plateau: func(string) (scheduler, error) {
		return nil, errors.New("--lr_scheduler_type " + plateau + " goes by evaluations, and here the learning rate is a function of the step, so that a run that resumes has the same; want cosine or warmup_stable_decay")
	},
}

// plateau is the one that is refused.
const plateau = "reduce_lr_on_plateau"

// scheduler returns what --lr_scheduler_type and --lr_scheduler_kwargs say.
func (c *Config) scheduler() (scheduler, error) {
	build, ok := schedulers[c.LrSchedulerType]
	if !ok {
		there := slices.DeleteFunc(slices.Sorted(maps.Keys(schedulers)), func(name string) bool { return name == plateau })
		return nil, fmt.Errorf("--lr_scheduler_type is %q, want %s", c.LrSchedulerType, strings.Join(there, ", "))
	}
	return build(c.LrSchedulerKwargs)
}

// schedule returns the learning rate of --lr_scheduler_type.
func (c *Config) schedule(steps int) (api.Schedule, error) {
	build, err := c.scheduler()
	if err != nil {
		return nil, err
	}
	return build(c.LearningRate, (&api.Args{WarmupSteps: c.WarmupSteps, WarmupRatio: c.WarmupRatio}).Warmup(steps), steps)
}

// read stores --lr_scheduler_kwargs in the struct that to points to.
func read(kwargs string, to any) error {
	if kwargs == "" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(kwargs)))
	d.DisallowUnknownFields()
	err := d.Decode(to)
	if err == nil && d.More() {
		err = errors.New("there is more after it")
	}
	if err == nil {
		return nil
	}
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(to).Elem()) {
		if !f.Anonymous {
			names = append(names, f.Tag.Get("json"))
		}
	}
	there := "this --lr_scheduler_type has none"
	if len(names) > 0 {
		there = "there are " + strings.Join(names, ", ")
	}
	return fmt.Errorf("--lr_scheduler_kwargs %s: %s; want JSON such as {\"num_cycles\": 2}; %s", kwargs, strings.TrimPrefix(err.Error(), "json: "), there)
}

// without is a scheduler that has no settings.
func without(build func(lr float64, warmup, steps int) api.Schedule) func(string) (scheduler, error) {
	return func(kwargs string) (scheduler, error) {
		return func(lr float64, warmup, steps int) (api.Schedule, error) { return build(lr, warmup, steps), nil }, read(kwargs, &struct{}{})
	}
}

// after rises from 0 to lr over the warm-up, and then is lr times what fall makes
// of the share of the rest that is done.
func after(lr float64, warmup, steps int, fall func(done float64) float64) api.Schedule {
	return func(step int) float64 {
		if step < warmup {
			return lr * float64(step) / float64(max(1, warmup))
		}
		return lr * fall(float64(step-warmup)/float64(max(1, steps-warmup)))
	}
}

// wave is a cosine of so many cycles that is 1 at 0, between least and 1.
func wave(done, cycles, least float64) float64 {
	return max(0, 0.5*(1+math.Cos(math.Pi*cycles*2*done))*(1-least)+least)
}

func cosine(kwargs string) (scheduler, error) {
	k := struct {
		Cycles float64 `json:"num_cycles"`
	}{0.5}
	return func(lr float64, warmup, steps int) (api.Schedule, error) {
		return after(lr, warmup, steps, func(done float64) float64 { return wave(done, k.Cycles, 0) }), nil
	}, read(kwargs, &k)
}

func cosineWithRestarts(kwargs string) (scheduler, error) {
	k := struct {
		Cycles float64 `json:"num_cycles"`
	}{1}
	return func(lr float64, warmup, steps int) (api.Schedule, error) {
		return after(lr, warmup, steps, func(done float64) float64 {
			if done >= 1 {
				return 0
			}
			return wave(math.Mod(k.Cycles*done, 1), 0.5, 0)
		}), nil
	}, read(kwargs, &k)
}

func polynomial(kwargs string) (scheduler, error) {
	k := struct {
		End   float64 `json:"lr_end"`
		Power float64 `json:"power"`
	}{1e-7, 1}
	return func(lr float64, warmup, steps int) (api.Schedule, error) {
		if !(lr > k.End && k.End >= 0) {
			return nil, fmt.Errorf("--lr_scheduler_kwargs: lr_end is %g, want 0 or more and less than the learning rate, %g", k.End, lr)
		}
		return after(lr, warmup, steps, func(done float64) float64 {
			if done > 1 {
				return k.End / lr
			}
			return ((lr-k.End)*math.Pow(1-done, k.Power) + k.End) / lr
		}), nil
	}, read(kwargs, &k)
}

func inverseSqrt(kwargs string) (scheduler, error) {
	var k struct {
		Timescale int `json:"timescale"`
	}
	err := read(kwargs, &k)
	if err == nil && k.Timescale < 0 {
		err = fmt.Errorf("--lr_scheduler_kwargs: timescale is %d, want more than 0", k.Timescale)
	}
	return func(lr float64, warmup, _ int) (api.Schedule, error) {
		scale := k.Timescale
		if scale == 0 {
			if scale = warmup; scale == 0 {
				scale = 10000
			}
		}
		return func(step int) float64 {
			if step < warmup {
				return lr * float64(step) / float64(max(1, warmup))
			}
			return lr / math.Sqrt(float64(step-warmup+scale)/float64(scale))
		}, nil
	}, err
}

// least is the lowest learning rate that a schedule comes to, as one or as a
// share of the highest.
type least struct {
	Cycles  float64  `json:"num_cycles"`
	MinLR   *float64 `json:"min_lr"`
	MinRate *float64 `json:"min_lr_rate"`
}

// read reads the settings into to, which l is a part of.
func (l *least) read(kwargs string, to any) error {
	l.Cycles = 0.5
	if err := read(kwargs, to); err != nil {
		return err
	}
	for name, x := range map[string]*float64{"min_lr": l.MinLR, "min_lr_rate": l.MinRate} {
		if x != nil && !(*x >= 0) {
			return fmt.Errorf("--lr_scheduler_kwargs: %s is %g, want 0 or more", name, *x)
		}
	}
	if (l.MinLR == nil) == (l.MinRate == nil) {
		return errors.New(`--lr_scheduler_kwargs: want min_lr or min_lr_rate, and not both, e.g. {"min_lr_rate": 0.1}`)
	}
	return nil
}

func (l *least) share(lr float64) float64 {
	if l.MinLR != nil {
		return *l.MinLR / lr
	}
	return *l.MinRate
}

func cosineWithMin(kwargs string) (scheduler, error) {
	var l least
	err := l.read(kwargs, &l)
	return func(lr float64, warmup, steps int) (api.Schedule, error) {
		return after(lr, warmup, steps, func(done float64) float64 { return wave(done, l.Cycles, l.share(lr)) }), nil
	}, err
}

// cosineWarmupWithMin is cosineWithMin a step ahead: the warm-up does not begin
// at 0, and the last step has the lowest rate.
func cosineWarmupWithMin(kwargs string) (scheduler, error) {
	var k struct {
		least
		WarmupRate *float64 `json:"warmup_lr_rate"`
	}
	err := k.least.read(kwargs, &k)
	if err == nil && k.WarmupRate != nil && !(*k.WarmupRate >= 0) {
		err = fmt.Errorf("--lr_scheduler_kwargs: warmup_lr_rate is %g, want 0 or more", *k.WarmupRate)
	}
	return func(lr float64, warmup, steps int) (api.Schedule, error) {
		return func(step int) float64 {
			if step >= warmup {
				return lr * wave(float64(step-warmup+1)/float64(max(1, steps-warmup)), k.Cycles, k.share(lr))
			}
			if k.WarmupRate == nil {
				return lr * float64(step+1) / float64(max(1, warmup))
			}
			return lr * (*k.WarmupRate + (1-*k.WarmupRate)*float64(step)/float64(max(1, warmup-1)))
		}, nil
	}, err
}

func warmupStableDecay(kwargs string) (scheduler, error) {
	k := struct {
		Decay      *int    `json:"num_decay_steps"`
		Stable     *int    `json:"num_stable_steps"`
		WarmupType string  `json:"warmup_type"`
		DecayType  string  `json:"decay_type"`
		Least      float64 `json:"min_lr_ratio"`
		Cycles     float64 `json:"num_cycles"`
	}{WarmupType: "linear", DecayType: "cosine", Cycles: 0.5}
	fall := map[string]func(done float64) float64{
		"linear": func(done float64) float64 { return 1 - done },
		"cosine": func(done float64) float64 { return wave(done, k.Cycles, 0) },
		"1-sqrt": func(done float64) float64 { return 1 - math.Sqrt(done) },
	}
	rise := map[string]func(done float64) float64{
		"linear": func(done float64) float64 { return done },
		"cosine": func(done float64) float64 { return 0.5 * (1 - math.Cos(math.Pi*done)) },
		"1-sqrt": func(done float64) float64 { return 1 - math.Sqrt(1-done) },
	}
	err := read(kwargs, &k)
	switch {
	case err != nil:
	case k.Decay == nil || *k.Decay < 0 || k.Stable != nil && *k.Stable < 0:
		err = errors.New(`--lr_scheduler_kwargs: warmup_stable_decay wants num_decay_steps, and may have num_stable_steps, 0 or more, e.g. {"num_decay_steps": 100}`)
	case rise[k.WarmupType] == nil || fall[k.DecayType] == nil:
		err = fmt.Errorf("--lr_scheduler_kwargs: warmup_type and decay_type are %q and %q, want linear, cosine or 1-sqrt", k.WarmupType, k.DecayType)
	case !(k.Least >= 0):
		err = fmt.Errorf("--lr_scheduler_kwargs: min_lr_ratio is %g, want 0 or more", k.Least)
	}
	return func(lr float64, warmup, steps int) (api.Schedule, error) {
		stable := steps - warmup - *k.Decay
		if k.Stable != nil {
			stable = *k.Stable
		}
		if stable < 0 {
			return nil, fmt.Errorf("--lr_scheduler_kwargs: the run has %d steps, fewer than the %d of its warm-up and the %d of num_decay_steps", steps, warmup, *k.Decay)
		}
		return func(step int) float64 {
			factor := 0.0
			switch {
			case step < warmup:
				factor = rise[k.WarmupType](float64(step) / float64(max(1, warmup)))
			case step < warmup+stable:
				return lr
			case step < warmup+stable+*k.Decay:
				factor = fall[k.DecayType](float64(step-warmup-stable) / float64(max(1, *k.Decay)))
			}
			return lr * max(0, factor*(1-k.Least)+k.Least)
		}, nil
	}, err
}
