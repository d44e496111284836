// Package builtin is the extensions that are always there. They are written as
// those of a plugin are, against package api and through no other door, so each
// file here is also an example of its kind:
//
//	loss            cross_entropy
//	loss scale      default, last_round, all, base, react, hermes, qwen, agentflan, alpha_umi, ignore_empty_think, ignore_think_prefix
//	metric          acc
//	optimizer       adamw
//	callback        early_stop
//	tuner           full, lora, lora_llm, adalora, vera, bone, llamapro, dummy
//	agent template  hermes
//	ORM             math
//
// Simpler ones, with more explanation, are in the folder contrib.
package builtin

import "swiftgo/api"

// Exports returns the built-in extensions, as the loader does those of a plugin.
func Exports() api.Exports {
	return api.Exports{
		Losses: api.Losses{"cross_entropy": newCrossEntropy},
		LossScales: api.LossScales{
			"default": newDefault, "last_round": newLastRound, "all": newAll,
			"base": scale(keyed{}), "react": scale(react), "alpha_umi": scale(alphaUMI), "qwen": scale(qwen), "agentflan": scale(agentFlan),
			"hermes": scale(hermesCalls), "ignore_empty_think": scale(emptyThink), "ignore_think_prefix": scale(thinkPrefix),
		},
		Metrics:        api.Metrics{"acc": newAcc},
		Optimizers:     api.Optimizers{"adamw": newAdamW},
		Callbacks:      api.Callbacks{"early_stop": newEarlyStop},
		AgentTemplates: api.AgentTemplates{"hermes": newHermes},
		Tuners: api.Tuners{
			"full": newFull, "lora": newLora, "lora_llm": newLoraLLM, "adalora": newAdaLora, "vera": newVera, "bone": newBone,
			"llamapro": newLlamaPro, "dummy": newDummy,
		},
		ORMs: api.ORMs{"math": newMath},
	}
}

// none is the settings of an extension that has none.
type none struct{}
