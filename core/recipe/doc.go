// Package recipe wires the rooms of the house together: SFT is a fine-tuning
// run from top to bottom, Infer answers a dataset, Chat whoever types, and Deploy
// serves OpenAI's clients. Each is one page to read; the settings they go by are
// in Config.
package recipe
