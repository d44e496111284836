package recipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"swiftgo/core/generate"
	"swiftgo/core/registry"
	"swiftgo/core/server"
	"swiftgo/core/template"
)

// DeployOptions are the settings of Deploy beside those of a run.
type DeployOptions struct {
	generate.Settings
	Host            string
	Port            int // 0 is any that is free
	APIKey          string
	ServedModelName string // "" is the name of the model's directory
	MaxNewTokens    int    // longest answer; 0 is as long as the model can read
	MaxBatchSize    int    // sequences that go through the model together
	MaxQueue        int    // prompts that wait; beyond, requests are refused
	MaxBody         int64  // bytes of a request
	Grace           time.Duration
}

func (o *DeployOptions) check() error {
	for _, n := range []struct {
		flag  string
		value int
		least int
	}{{"port", o.Port, 0}, {"max_new_tokens", o.MaxNewTokens, 0}, {"max_batch_size", o.MaxBatchSize, 1}, {"max_queue", o.MaxQueue, 1}, {"max_body", int(o.MaxBody), 1}, {"shutdown_timeout", int(o.Grace), 0}} {
		if n.value < n.least {
			return fmt.Errorf("--%s is %d, want %d or more", n.flag, n.value, n.least)
		}
	}
	return nil
}

// Deploy serves a model with its adapters to OpenAI's clients until ctx ends.
// Adapters with names are models of their own beside the base model, whose
// memory they share: each one's sequences are read together, and the models take
// turns, a token each.
func Deploy(ctx context.Context, c Config, o DeployOptions, reg *registry.Registry, out io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	adapters, err := c.adapters()
	if err != nil {
		return err
	}
	name := o.ServedModelName
	if name == "" {
		name = filepath.Base(filepath.Clean(c.Model))
	}
	for _, a := range adapters {
		if a.Name == name {
			return fmt.Errorf("--adapters has one called %s, as the model is; choose another name, or another --served_model_name", name)
		}
	}
	l, err := net.Listen("tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	if err != nil {
		return fmt.Errorf("--host and --port: %w", err)
	}
	defer l.Close()
	a, err := newAnswering(&c, name, adapters, writes, reg)
	if err != nil {
		return err
	}
	sampling := o.Over(a.sampling)
	if err := sampling.Check(); err != nil {
		return fmt.Errorf("--%w", err)
	}
	plain, err := template.Find("none", true, a.tok)
	if err != nil {
		return err
	}
	s := server.New(server.Options{
		Models: a.names, Generator: a.generator(o.MaxBatchSize, o.MaxQueue, reg), Tokenizer: a.tok, Sampling: sampling,
		Chat: a.enc, Plain: &template.Encoder{Chat: plain, Tokenizer: a.tok, Vocab: a.enc.Vocab},
		APIKey: o.APIKey, MaxTokens: o.MaxNewTokens, MaxBody: o.MaxBody, Grace: o.Grace,
	})
	fmt.Fprintf(out, "serving %s on http://%s/v1\n", strings.Join(a.names, ", "), l.Addr())
	if ip := net.ParseIP(hostOf(l.Addr())); ip != nil && !ip.IsLoopback() && o.APIKey == "" {
		fmt.Fprintln(out, "anybody who can reach this machine may use it: there is no --api_key")
	}
	if err := s.Serve(ctx, l); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func hostOf(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return host
}
