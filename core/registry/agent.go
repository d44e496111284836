package registry

import "swiftgo/api"

// AgentTemplate constructs the agent template of that name.
func (r *Registry) AgentTemplate(name string) (api.AgentTemplate, error) {
	a, x, err := construct[api.AgentTemplate](r, agentTemplate, name)
	if err != nil {
		return nil, err
	}
	return &guardedAgent{x, a}, nil
}

type guardedAgent struct {
	x     *extension
	agent api.AgentTemplate
}

func (g *guardedAgent) FormatTools(p *api.ToolPrompt) (system string, err error) {
	err = g.x.guard("FormatTools", func() error {
		system, err = g.agent.FormatTools(p)
		return err
	})
	return system, err
}

func (g *guardedAgent) FormatCalls(calls []api.ToolCall) (text string, err error) {
	err = g.x.guard("FormatCalls", func() error {
		text, err = g.agent.FormatCalls(calls)
		return err
	})
	return text, err
}

func (g *guardedAgent) FormatResults(r *api.ToolResults) (prompt []string, err error) {
	err = g.x.guard("FormatResults", func() error {
		prompt, err = g.agent.FormatResults(r)
		return err
	})
	return prompt, err
}

// JoinCalls is that of the template, or what goes for one without it.
func (g *guardedAgent) JoinCalls(before, calls string) (text string, err error) {
	joiner, ok := g.agent.(api.CallJoiner)
	if !ok {
		return calls, nil
	}
	err = g.x.guard("JoinCalls", func() error {
		text, err = joiner.JoinCalls(before, calls)
		return err
	})
	return text, err
}

func (g *guardedAgent) ParseCalls(text string) (calls []api.ToolCall, err error) {
	err = g.x.guard("ParseCalls", func() error {
		calls, err = g.agent.ParseCalls(text)
		return err
	})
	return calls, err
}
