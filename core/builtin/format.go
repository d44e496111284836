package builtin

import (
	"regexp"

	"swiftgo/api"
)

// newFormat makes the ORM format, that wants thoughts and then an answer, each in
// its tag, and nothing around them, as DeepSeek-R1 was trained to answer.
func newFormat(args *api.Args) (api.ORM, error) {
	return matches(thoughtAndAnswer), args.Decode(&none{})
}

// newReactFormat makes the ORM react_format, that wants thoughts in their tag and
// then a call as ReAct writes it.
func newReactFormat(args *api.Args) (api.ORM, error) {
	return matches(thoughtAndAction), args.Decode(&none{})
}

func matches(pattern *regexp.Regexp) api.ORM {
	return judgeEach(func(c api.Completion) float64 { return reward(pattern.MatchString(c.Text)) })
}

var (
	thoughtAndAnswer = regexp.MustCompile(pythonSpace(`(?s)\A<think>.*</think>\s*<answer>.*</answer>\z`))
	thoughtAndAction = regexp.MustCompile(pythonSpace(`(?s)\A<think>.*</think>\s*Action:.*Action Input:`))
)
