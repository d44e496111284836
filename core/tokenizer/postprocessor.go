package tokenizer

import (
	"errors"
	"fmt"
)

type postProcessSpec struct {
	Type       string            `json:"type"`
	Processors []postProcessSpec `json:"processors"`
	Single     []struct {
		Sequence     *struct{ ID string }
		SpecialToken *struct{ ID string }
	} `json:"single"`
	SpecialTokens map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
}

// newPostProcessor returns the ids to put before and after a single text.
func newPostProcessor(spec *postProcessSpec) (before, after []int32, err error) {
	if spec == nil {
		return nil, nil, nil
	}
	switch spec.Type {
	case "ByteLevel": // touches offsets only
		return nil, nil, nil
	case "TemplateProcessing":
		return spec.template()
	case "Sequence":
		templates := 0
		for i := range spec.Processors {
			b, a, err := newPostProcessor(&spec.Processors[i])
			if err != nil {
				return nil, nil, fmt.Errorf("%d: %w", i, err)
			}
			if spec.Processors[i].Type != "ByteLevel" {
				templates++
				before, after = b, a
			}
		}
		if templates > 1 {
			return nil, nil, fmt.Errorf("has %d templates in sequence, want at most one", templates)
		}
		return before, after, nil
	}
	return nil, nil, fmt.Errorf("type %q, want TemplateProcessing, ByteLevel or Sequence", spec.Type)
}

func (spec *postProcessSpec) template() (before, after []int32, err error) {
	texts := 0
	for i, part := range spec.Single {
		switch {
		case part.Sequence != nil && part.Sequence.ID == "A":
			texts++
		case part.SpecialToken != nil:
			token, ok := spec.SpecialTokens[part.SpecialToken.ID]
			if !ok {
				return nil, nil, fmt.Errorf("special_tokens lacks %q, which single uses", part.SpecialToken.ID)
			}
			for _, id := range token.IDs {
				if id < 0 {
					return nil, nil, fmt.Errorf("special_tokens gives %q the negative id %d", part.SpecialToken.ID, id)
				}
			}
			if texts == 0 {
				before = append(before, token.IDs...)
			} else {
				after = append(after, token.IDs...)
			}
		default:
			return nil, nil, fmt.Errorf("single[%d] is neither a SpecialToken nor the Sequence A", i)
		}
	}
	if texts != 1 {
		return nil, nil, errors.New("single wants the Sequence A exactly once")
	}
	return before, after, nil
}
