package template

import "strings"

// chats are the families of models by the names that ms-swift has for their
// chat templates.
var chats = map[string]Chat{
	"chatml":           chatML(""),
	"qwen":             qwen("You are a helpful assistant."),
	"qwen2_5":          qwen("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
	"qwq":              with(qwen(""), thinks),
	"qwen3":            with(qwen(""), emptyThought),
	"qwen3_thinking":   with(qwen(""), thinks),
	"qwen3_nothinking": qwen(""),
	"qwen3_coder":      with(qwen(""), func(c *Chat) { c.AgentTemplate = "qwen3_coder" }),
	"qwen3_5":          with(qwen(""), emptyThought, func(c *Chat) { c.AgentTemplate, c.trim = "qwen3_5", true }),
	"minicpm5":         with(chatML(""), emptyThought, func(c *Chat) { c.AgentTemplate = "minicpm5" }),
	"llama": {
		Prefix:       []string{"<s>[INST] "},
		SystemPrefix: []string{"<s>[INST] <<SYS>>\n{{SYSTEM}}\n<</SYS>>\n\n"},
		Prompt:       []string{"{{QUERY}} [/INST]"},
		Separator:    []string{"</s><s>[INST] "},
		Suffix:       []string{"</s>"},
		Stop:         []string{"</s>"},
		System: "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, while being safe. " +
			"Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. " +
			"Please ensure that your responses are socially unbiased and positive in nature.\n\n" +
			"If a question does not make any sense, or is not factually coherent, explain why instead of answering something not correct. " +
			"If you don't know the answer to a question, please don't share false information.",
	},
	"llama3": llama3,
	"llama3_2": with(llama3, func(c *Chat) {
		const system = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: {{DATE}}\n\n"
		c.Prefix, c.SystemPrefix = []string{system + "<|eot_id|>"}, []string{system + "{{SYSTEM}}<|eot_id|>"}
	}),
	"llama4": {
		Prefix:        []string{"<|begin_of_text|>"},
		SystemPrefix:  []string{"<|begin_of_text|><|header_start|>system<|header_end|>\n\n{{SYSTEM}}<|eot|>"},
		Prompt:        []string{"<|header_start|>user<|header_end|>\n\n{{QUERY}}<|eot|><|header_start|>assistant<|header_end|>\n\n"},
		Separator:     []string{"<|eot|>"},
		Suffix:        []string{"<|eot|>"},
		Stop:          []string{"<|end_of_text|>", "<|eom|>", "<|eot|>"},
		AgentTemplate: "llama4",
	},
	"chatglm4": {
		SystemPrefix:  []string{"<|system|>\n{{SYSTEM}}"},
		Prompt:        []string{"<|user|>\n{{QUERY}}<|assistant|>\n"},
		Separator:     []string{},
		Suffix:        []string{"<|user|>"},
		Stop:          []string{"<|endoftext|>", "<|user|>", "<|observation|>"},
		AddBOS:        true,
		AgentTemplate: "chatglm4",
		trimNewline:   true,
	},
	"glm4":   glm("glm4", "\n", ""),
	"glm4_5": glm("glm4_5", "\n", "<think></think>\n"),
	"glm4_7": glm("glm4_7", "", "</think>"),
	"glm5_1": glm("glm5_1", "", "<think></think>"),

	"deepseek_v2_5": deepSeek(""),
	"deepseek_r1":   with(deepSeek(""), thinks),
	"deepseek_v3_1": with(deepSeek("deepseek_v3_1"), func(c *Chat) { c.EmptyThought, c.Thinking = "</think>", Thinking{Past: "</think>", AfterUser: true} }),
	"deepseek_v4": with(deepSeek("deepseek_v4"), func(c *Chat) {
		c.EmptyThought, c.Thinking = "</think>", Thinking{Past: "</think>", AfterUser: true, WithTools: true}
	}),

	"minimax_m2":   miniMax("You are MiniMax-M2, a helpful AI assistant built by MiniMax. Knowledge cutoff: 2025-06."),
	"minimax_m2_1": miniMax("You are a helpful assistant. Your name is MiniMax-M2.1 and is built by MiniMax."),
	"minimax_m2_5": miniMax("You are a helpful assistant. Your name is MiniMax-M2.5 and is built by MiniMax."),
	"minimax_m2_7": miniMax("You are a helpful assistant. Your name is MiniMax-M2.7 and is built by MiniMax."),

	"hunyuan": {
		Prefix:        []string{"<｜hy_begin▁of▁sentence｜>"},
		SystemPrefix:  []string{"<｜hy_begin▁of▁sentence｜>{{SYSTEM}}<｜hy_place▁holder▁no▁3｜>"},
		Prompt:        []string{"<｜hy_User｜>{{QUERY}}<｜hy_Assistant｜>"},
		Separator:     []string{"<｜hy_place▁holder▁no▁2｜>"},
		Suffix:        []string{"<｜hy_place▁holder▁no▁2｜>"},
		Stop:          []string{"<｜hy_place▁holder▁no▁2｜>"},
		EmptyThought:  "<think>\n\n</think>\n",
		Thinking:      Thinking{Answer: true},
		AgentTemplate: "hunyuan_hermes",
	},
	"hy_v3_preview": hyV3("<｜hy_begin▁of▁sentence｜>", ""),
	"hy_v3":         hyV3("<｜hy_begin_of_sentence:opensource｜>", ":opensource"),

	"youtu_llm": {
		Prefix:        []string{bosPiece},
		SystemPrefix:  []string{bosPiece, "{{SYSTEM}}"},
		Prompt:        []string{"<|User|>{{QUERY}}<|Assistant|>"},
		Separator:     []string{"<|end_of_text|>"},
		Suffix:        []string{"<|end_of_text|>"},
		Stop:          []string{"<|end_of_text|>"},
		EmptyThought:  "<think>\n\n</think>\n\n",
		Thinking:      Thinking{OnlyLast: true},
		AgentTemplate: "youtu",
	},
	"moonlight": moonlight("You are a helpful assistant"),
	"kimi_k2":   moonlight("You are Kimi, an AI assistant created by Moonshot AI."),
	"kimi_k25": with(moonlight(""), func(c *Chat) {
		c.SystemPrefix = []string{"<|im_system|>{{SYSTEM}}<|im_end|>"}
		c.EmptyThought, c.Thinking = "<think></think>", Thinking{Past: "<think></think>"}
		c.AgentTemplate = "kimi_k25"
		c.finish = func(_ []turn, system *string, _ bool) *string {
			if system == nil || strings.Contains(*system, "<|im_middle|>") { // where tools are declared
				return system
			}
			text := "system<|im_middle|>" + *system
			return &text
		}
	}),
	"seed_oss": {
		Prefix:        []string{"<seed:bos>"},
		SystemPrefix:  []string{"<seed:bos>system\n{{SYSTEM}}<seed:eos>"},
		Prompt:        []string{"<seed:bos>user\n{{QUERY}}<seed:eos><seed:bos>assistant\n"},
		Separator:     []string{"<seed:eos>"},
		Suffix:        []string{"<seed:eos>"},
		Stop:          []string{"<seed:eos>"},
		AddBOS:        true,
		AgentTemplate: "seed_oss",
		prepare:       seedBudget,
	},
	"gemma": with(gemma, func(c *Chat) { c.SystemPrefix = []string{"<bos><start_of_turn>system\n{{SYSTEM}}<end_of_turn>\n"} }),
	"gemma3_text": with(gemma, func(c *Chat) {
		c.finish = func(turns []turn, system *string, _ bool) *string {
			if system != nil {
				turns[0].query = *system + "\n\n" + turns[0].query
			}
			for _, t := range turns {
				for k := range t.answer {
					t.answer[k].text = strings.Trim(t.answer[k].text, "\n")
				}
			}
			return nil
		}
	}),
	"gemma4_nothinking": gemma4,
	"gemma4": with(gemma4, func(c *Chat) {
		c.EmptyThought = "<|channel>thought\n<channel|>"
		c.Thinking = Thinking{Begin: "<|channel>thought", End: "<channel|>", AfterUser: true}
	}),
	"phi3": {
		SystemPrefix: []string{"<|system|>\n{{SYSTEM}}<|end|>\n"},
		Prompt:       []string{"<|user|>\n{{QUERY}}<|end|>\n<|assistant|>\n"},
		Separator:    []string{"<|end|>\n"},
		Suffix:       []string{"<|end|>"},
		Stop:         []string{"<|end|>"},
		AddBOS:       true,
	},
	"phi4": {
		SystemPrefix: []string{"<|im_start|>system<|im_sep|>{{SYSTEM}}<|im_end|>"},
		Prompt:       []string{"<|im_start|>user<|im_sep|>{{QUERY}}<|im_end|><|im_start|>assistant<|im_sep|>"},
		Separator:    []string{"<|im_end|>"},
		Suffix:       []string{"<|im_end|>"},
		Stop:         []string{"<|im_end|>"},
		AddBOS:       true,
	},
	// For models that were never taught a chat template: plain text that any
	// tokenizer can write, as ms-swift's template of the same name.
	"default": {
		SystemPrefix: []string{"{{SYSTEM}}\n\n"},
		Prompt:       []string{"### Human:\n{{QUERY}}\n\n### Assistant:\n"},
		Separator:    []string{"\n\n"},
		Suffix:       []string{eosPiece},
		System:       "You are a helpful assistant.",
		AddBOS:       true,
	},
	// For pre-training: the text alone.
	"none": {
		Prompt: []string{"{{QUERY}}"},
		Suffix: []string{eosPiece},
		AddBOS: true,
	},
}

// with returns a chat template with changes.
func with(c Chat, changes ...func(c *Chat)) Chat {
	for _, change := range changes {
		change(&c)
	}
	return c
}

func emptyThought(c *Chat) { c.EmptyThought = "<think>\n\n</think>\n\n" }

func thinks(c *Chat) { c.Thinking.Start = "<think>\n" }

func chatML(system string) Chat {
	return Chat{
		SystemPrefix: []string{"<|im_start|>system\n{{SYSTEM}}<|im_end|>\n"},
		Prompt:       []string{"<|im_start|>user\n{{QUERY}}<|im_end|>\n<|im_start|>assistant\n"},
		Separator:    []string{"<|im_end|>\n"},
		Suffix:       []string{"<|im_end|>\n"},
		System:       system,
		Stop:         []string{"<|im_end|>", "<|endoftext|>"},
		AddBOS:       true,
	}
}

func qwen(system string) Chat {
	c := chatML(system)
	c.AgentTemplate, c.AddBOS = "hermes", false
	return c
}

var llama3 = Chat{
	Prefix:        []string{"<|begin_of_text|>"},
	SystemPrefix:  []string{"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{{SYSTEM}}<|eot_id|>"},
	Prompt:        []string{"<|start_header_id|>user<|end_header_id|>\n\n{{QUERY}}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
	Separator:     []string{"<|eot_id|>"},
	Suffix:        []string{"<|eot_id|>"},
	Stop:          []string{"<|eot_id|>", "<|eom_id|>"},
	AgentTemplate: "llama3",
}

// glm returns a family of GLM-4 and later, with gap after each role.
func glm(agent, gap, emptyThought string) Chat {
	return Chat{
		Prefix:        []string{"[gMASK]<sop>"},
		SystemPrefix:  []string{"[gMASK]<sop><|system|>" + gap + "{{SYSTEM}}"},
		Prompt:        []string{"<|user|>" + gap + "{{QUERY}}<|assistant|>" + gap},
		Separator:     []string{},
		Suffix:        []string{"<|user|>"},
		Stop:          []string{"<|endoftext|>", "<|user|>", "<|observation|>"},
		AddBOS:        true,
		EmptyThought:  emptyThought,
		Thinking:      Thinking{Past: emptyThought},
		AgentTemplate: agent,
		trimNewline:   true,
	}
}

func deepSeek(agent string) Chat {
	return Chat{
		Prefix:        []string{"<｜begin▁of▁sentence｜>"},
		SystemPrefix:  []string{"<｜begin▁of▁sentence｜>{{SYSTEM}}"},
		Prompt:        []string{"<｜User｜>{{QUERY}}<｜Assistant｜>"},
		Separator:     []string{"<｜end▁of▁sentence｜>"},
		Suffix:        []string{"<｜end▁of▁sentence｜>"},
		Stop:          []string{"<｜end▁of▁sentence｜>"},
		AgentTemplate: agent,
	}
}

func miniMax(system string) Chat {
	return Chat{
		Prefix:        []string{"]~!b[]~b]system\n[e~[\n"},
		SystemPrefix:  []string{"]~!b[]~b]system\n{{SYSTEM}}[e~[\n"},
		Prompt:        []string{"]~b]user\n{{QUERY}}[e~[\n]~b]ai\n"},
		Separator:     []string{"[e~[\n"},
		Suffix:        []string{"[e~[\n"},
		System:        system,
		Stop:          []string{"[e~["},
		Thinking:      Thinking{Start: "<think>\n"},
		AgentTemplate: "minimax_m2",
	}
}

// hyV3 returns a family of Tencent's Hy models, whose tokens end in mark. How
// hard they are to think, here not at all, is said at the end of the system
// prompt.
func hyV3(begin, mark string) Chat {
	empty := "<think" + mark + "></think" + mark + ">"
	end := "<｜hy_eos" + mark + "｜>"
	return Chat{
		Prefix:        []string{begin},
		SystemPrefix:  []string{begin + "{{SYSTEM}}"},
		Prompt:        []string{"<｜hy_User" + mark + "｜>{{QUERY}}<｜hy_Assistant" + mark + "｜>"},
		Separator:     []string{end},
		Suffix:        []string{end},
		Stop:          []string{end},
		EmptyThought:  empty,
		Thinking:      Thinking{Begin: "<think" + mark + ">", End: "</think" + mark + ">", Past: empty},
		AgentTemplate: "hy_v3" + map[string]string{"": "_preview"}[mark],
		finish: func(_ []turn, system *string, tools bool) *string {
			mode, text := "<｜reasoning_mode"+mark+"｜>reasoning_effort:no_think", ""
			if system != nil {
				text = *system
			}
			if last := "you should print </tool_calls" + mark + ">"; tools {
				text = strings.ReplaceAll(text, last, last+mode)
			} else {
				text += mode
			}
			return &text
		},
	}
}

func moonlight(system string) Chat {
	return Chat{
		SystemPrefix: []string{"<|im_system|>system<|im_middle|>{{SYSTEM}}<|im_end|>"},
		Prompt:       []string{"<|im_user|>user<|im_middle|>{{QUERY}}<|im_end|><|im_assistant|>assistant<|im_middle|>"},
		Separator:    []string{"<|im_end|>"},
		Suffix:       []string{"<|im_end|>"},
		System:       system,
		Stop:         []string{"<|im_end|>"},
	}
}

var gemma = Chat{
	Prefix:    []string{"<bos>"},
	Prompt:    []string{"<start_of_turn>user\n{{QUERY}}<end_of_turn>\n<start_of_turn>model\n"},
	Separator: []string{"<end_of_turn>\n"},
	Suffix:    []string{"<end_of_turn>"},
	Stop:      []string{"<end_of_turn>"},
}

var gemma4 = Chat{
	Prefix:        []string{"<bos>"},
	SystemPrefix:  []string{"<bos><|turn>system\n{{SYSTEM}}<turn|>\n"},
	Prompt:        []string{"<|turn>user\n{{QUERY}}<turn|>\n<|turn>model\n"},
	Separator:     []string{"<turn|>\n"},
	Suffix:        []string{"<turn|>\n"},
	Stop:          []string{"<eos>", "<turn|>", "<|tool_response>"},
	AgentTemplate: "gemma4",
}
