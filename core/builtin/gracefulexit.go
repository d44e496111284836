package builtin

import (
	"os"
	"os/signal"
	"syscall"

	"swiftgo/api"
)

// newGracefulExit makes a callback that saves and ends the run after the step in
// which the process is sent SIGUSR1 or SIGTERM, as schedulers of clusters do
// before they end it.
func newGracefulExit(args *api.Args) (*api.Callback, error) {
	signals := make(chan os.Signal, 1)
	return &api.Callback{
		OnTrainBegin: func(*api.State) error {
			signal.Notify(signals, syscall.SIGUSR1, syscall.SIGTERM)
			return nil
		},
		OnStepEnd: func(s *api.State) error {
			select {
			case sent := <-signals:
				s.Save, s.Stop = true, "graceful_exit: "+sent.String()
			default:
			}
			return nil
		},
		OnTrainEnd: func(*api.State) error {
			signal.Stop(signals)
			return nil
		},
	}, args.Decode(&none{})
}
