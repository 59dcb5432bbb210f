package cli

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// How a run is followed.
const (
	// followPace is the least time between two reads that brought nothing new.
	followPace = 50 * time.Millisecond
	// finaliseWait is how long the record may take to be finalised once it has its result.
	finaliseWait = 5 * time.Second
)

// finish follows a run to its result, prints it and returns the exit code that it earns.
func (s *session) finish(ctx context.Context, run *api.RunAnswer) error {
	run, err := s.follow(ctx, run)
	if err != nil {
		return s.leftRunning(ctx, run, err)
	}
	if s.Output.Machine() {
		run = s.untilFinalised(ctx, run)
		if err := s.Print(run, nil); err != nil {
			return err
		}
	} else if err := s.printOutput(ctx, run); err != nil {
		return err
	}
	if run.State == api.RunSucceeded {
		return nil
	}
	return ui.Silent(ui.ExitFailure)
}

// follow reads a run until it has its result. With an error it returns what it read last.
func (s *session) follow(ctx context.Context, run *api.RunAnswer) (*api.RunAnswer, error) {
	progress := runProgress{session: s}
	progress.show(run.Run)
	for !run.State.Terminal() {
		next, err := s.nextRun(ctx, run, followWait)
		if err != nil {
			return run, err
		}
		run = next
		progress.show(run.Run)
	}
	return run, nil
}

// nextRun waits for a change of a run.
func (s *session) nextRun(ctx context.Context, run *api.RunAnswer, wait time.Duration) (*api.RunAnswer, error) {
	o := s.Read()
	o.AfterIndex, o.Wait = run.Index, wait
	next, err := s.ShowRun(ctx, run.ID, o)
	if err != nil {
		return nil, err
	}
	if next.Modified == run.Modified && !ui.Sleep(ctx, followPace) {
		return nil, ctx.Err()
	}
	return next, nil
}

// untilFinalised waits a little for the record to be finalised; what it says until then is
// true all the same.
func (s *session) untilFinalised(ctx context.Context, run *api.RunAnswer) *api.RunAnswer {
	ctx, cancel := context.WithTimeout(ctx, finaliseWait)
	defer cancel()
	for !run.Finalised {
		next, err := s.nextRun(ctx, run, finaliseWait)
		if err != nil {
			return run
		}
		run = next
	}
	return run
}

// leftRunning says that a run goes on when the command stops waiting for it: at Ctrl-C
// with exit 1, when the time is up or no scheduler answers with what that is.
func (s *session) leftRunning(ctx context.Context, run *api.RunAnswer, err error) error {
	problem := *api.Problem(err)
	if ui.Ended(ctx, err) {
		problem = *api.Refuse(api.OutcomeUnknown, "stopped waiting: run %s goes on", run.ID)
	}
	problem.Hint = "grafos run show " + string(run.ID) + " -w"
	if ctx.Err() == context.Canceled {
		return &ui.ExitError{Code: ui.ExitFailure, Err: &problem}
	}
	return &problem
}

// runProgress tells a person on a terminal how a run gets on.
type runProgress struct {
	*session
	last api.Run
}

func (p *runProgress) show(run api.Run) {
	if run.State == p.last.State && run.Attempt == p.last.Attempt {
		return
	}
	p.last = run
	where := ""
	if run.CellID != "" {
		where = " on " + string(run.CellID)
	}
	detail := "run " + string(run.ID) + where
	if run.State.Terminal() {
		detail += " in " + ui.Duration(time.Duration(run.DurationMs)*time.Millisecond)
	}
	p.Progress(ui.Span{Text: pad(string(run.State), 10), Style: runStyle(run.State)}, ui.Span{Text: "  " + detail, Style: ui.Dim})
}
