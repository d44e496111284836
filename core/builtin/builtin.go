// Package builtin is the extensions that are always there. They are written as
// those of a plugin are, against package api and through no other door, so each
// file here is also an example of its kind:
//
//	loss            cross_entropy, dft, channel, cosine_similarity, contrastive, online_contrastive, infonce, pointwise_reranker, listwise_reranker, seq_cls
//	loss scale      default, last_round, all, base, react, hermes, qwen, agentflan, alpha_umi, ignore_empty_think, ignore_think_prefix
//	metric          acc, ppl, nlg, infonce, paired, reranker
//	optimizer       adamw, multimodal, lorap, adamw_8bit, adafactor, sgd, lion, muon, muonclip, galore, apollo
//	callback        early_stop, channel, lisa, perf_log, graceful_exit
//	tuner           full, lora, lora_llm, adalora, vera, bone, llamapro, dummy
//	agent template  react_en, react_zh, react_grpo, toolbench, qwen_en, qwen_zh, qwen_en_parallel, qwen_zh_parallel,
//	                hermes, hunyuan_hermes, youtu, mistral, llama3, llama4, deepseek_v3_1, kimi_k25,
//	                chatglm4, glm4, glm4_5, glm4_7, glm5_1, qwen3_coder, qwen3_5, seed_oss, minimax_m2, minicpm5,
//	                hy_v3_preview, hy_v3, deepseek_v4, minimax_m3, kimi_k3, gemma4
//	ORM             math, accuracy, format, react_format, cosine, repetition, soft_overlong, toolbench
//	PRM             client, qwen_max
//
// Simpler ones, with more explanation, are in the folder contrib.
package builtin

import "swiftgo/api"

// Exports returns the built-in extensions, as the loader does those of a plugin.
func Exports() api.Exports {
	channel := newChannel()
	return api.Exports{
		Losses: api.Losses{
			"cross_entropy": newCrossEntropy, "dft": newDFT, "channel": channel.newLoss,
			"cosine_similarity": newPairLoss(cosineSimilarity), "contrastive": newPairLoss(contrastive), "online_contrastive": newPairLoss(onlineContrastive),
			"infonce": newInfoNCE, "pointwise_reranker": newPointwiseReranker, "listwise_reranker": newListwiseReranker, "seq_cls": newSeqCls,
		},
		LossScales: api.LossScales{
			"default": newDefault, "last_round": newLastRound, "all": newAll,
			"base": scale(keyed{}), "react": scale(react), "alpha_umi": scale(alphaUMI), "qwen": scale(qwen), "agentflan": scale(agentFlan),
			"hermes": scale(hermesCalls), "ignore_empty_think": scale(emptyThink), "ignore_think_prefix": scale(thinkPrefix),
		},
		Metrics: api.Metrics{"acc": newAcc, "ppl": newPPL, "nlg": newNLG, "infonce": newInfoNCEMetric, "paired": newPaired, "reranker": newRerankerMetric},
		Optimizers: api.Optimizers{
			"adamw": newAdamW, "multimodal": newAdamW, "lorap": newLoraPlus, "adamw_8bit": newAdamW8bit, "adafactor": newAdafactor, "sgd": newSGD,
			"lion": newLion, "muon": newMuon, "muonclip": newMuonClip, "galore": newGalore, "apollo": newApollo,
		},
		Callbacks:      api.Callbacks{"early_stop": newEarlyStop, "channel": channel.newCallback, "lisa": newLisa, "perf_log": newPerfLog, "graceful_exit": newGracefulExit},
		AgentTemplates: agentTemplates(),
		Tuners: api.Tuners{
			"full": newFull, "lora": newLora, "lora_llm": newLoraLLM, "adalora": newAdaLora, "vera": newVera, "bone": newBone,
			"llamapro": newLlamaPro, "dummy": newDummy,
		},
		ORMs: api.ORMs{
			"math": newMath, "accuracy": newAccuracy, "format": newFormat, "react_format": newReactFormat,
			"cosine": newCosine, "repetition": newRepetition, "soft_overlong": newSoftOverlong, "toolbench": newToolbench,
		},
		PRMs: api.PRMs{"client": newClient("qwen-plus"), "qwen_max": newClient("qwen-max")},
	}
}

// none is the settings of an extension that has none.
type none struct{}
