package api

import "encoding/json"

// Callback is a set of hooks into the training loop. Any of them may be nil.
// The callbacks of a run are called in the order they were named, each hook in
// the order of the fields; an error from one ends the run.
type Callback struct {
	OnInitEnd          func(*State) error // everything is loaded, nothing has run
	OnTrainBegin       func(*State) error
	OnEpochBegin       func(*State) error
	OnStepBegin        func(*State) error // before the first micro-batch of a step
	OnSubstepEnd       func(*State) error // after every micro-batch but the last
	OnPreOptimizerStep func(*State) error // gradients are summed and clipped
	OnOptimizerStep    func(*State) error // parameters have changed, gradients are still there
	OnStepEnd          func(*State) error // gradients are cleared
	OnLog              func(*State) error // a line, of training or of an evaluation, is complete but for what is added to State.Logs
	OnPredictionStep   func(*State) error // after each batch of an evaluation
	OnEvaluate         func(*State) error // State.Metrics is fresh
	OnPredict          func(*State) error // an evaluation outside training has ended; no command has one yet
	OnSave             func(*State) error // the checkpoint is complete on disk
	OnEpochEnd         func(*State) error
	OnTrainEnd         func(*State) error

	// Save returns what the callback must know again when the run resumes,
	// and Load is given it back before OnTrainBegin. Both or neither are nil.
	Save func() (json.RawMessage, error)
	Load func(json.RawMessage) error
}

// State is the training loop as a hook sees it. A hook may read it all, and
// write Logs and the wishes; writing anything else does nothing.
type State struct {
	Step, MaxSteps int     // optimizer steps done, and in the whole run
	Epoch          float64 // epochs done
	Loss           float64 // of the last step
	GradNorm       float64 // of the last step, before clipping
	LearningRate   float64 // of the last step; it is an optimizer's Schedule that decides

	Logs           map[string]float64   // what the next log line says; never nil
	LogHistory     []map[string]float64 // the log lines before
	Metrics        map[string]float64   // of the last evaluation; nil before the first
	BestMetric     *float64             // best value of --metric_for_best_model so far; nil before the first
	BestCheckpoint string               // directory of the checkpoint that had it
	Checkpoint     string               // directory of the last one saved
	HasEval        bool                 // whether the run evaluates at all
	Model          *Model

	// The wishes of hooks. The trainer fulfils and clears them.
	Stop      string // a reason to end training after this step
	StopEpoch bool   // end the epoch after this step; the steps left out count as done
	Log       bool   // log after this step
	Evaluate  bool   // evaluate after this step
	Save      bool   // save a checkpoint after this step
}
