package ui

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/grafos/grafos/api"
)

// Confirm asks before something is lost. word is what must be typed; "" is y or yes. It
// returns nil when yes is set or the person agrees. Where nobody can be asked (no
// terminal, --no-input, a machine format) it refuses with invalid_argument: exit 2.
func (u *UI) Confirm(ctx context.Context, yes bool, question, word string) error {
	if yes {
		return nil
	}
	if err := u.CanConfirm(yes); err != nil {
		return err
	}
	prompt := Clean(question) + " [y/N] "
	if word != "" {
		prompt = Clean(question) + "\nType " + Clean(word) + " to go on: "
	}
	if _, err := fmt.Fprint(u.Err, prompt); err != nil {
		return fmt.Errorf("ask for confirmation: %w", err)
	}
	answer, err := u.readLine(ctx)
	if err != nil {
		return err
	}
	agreed := strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
	if word != "" {
		agreed = answer == word
	}
	if !agreed {
		return &ExitError{Code: ExitFailure, Err: api.Refuse(api.InvalidArgument, "not confirmed: nothing was changed")}
	}
	return nil
}

// CanConfirm refuses at once where Confirm would have nobody to ask, so that a command
// fails before it looks anything up.
func (u *UI) CanConfirm(yes bool) error {
	if yes || u.InTerminal && u.ErrTerminal && !u.NoInput && !u.Output.Machine() {
		return nil
	}
	return api.Refuse(api.InvalidArgument, "this asks for confirmation, and there is nobody to ask").
		WithHint("add --yes to go on without being asked")
}

// readLine reads one line of an answer. A read of a terminal cannot be cancelled: when ctx
// ends, its goroutine is left to the end of the process, which is then about to come.
func (u *UI) readLine(ctx context.Context) (string, error) {
	lines := make(chan string, 1)
	go func() {
		// An answer that ends without a newline, even an empty one, is an answer.
		line, err := bufio.NewReader(u.In).ReadString('\n')
		if err != nil {
			_, _ = fmt.Fprintln(u.Err) // what follows stands on a line of its own
		}
		lines <- strings.TrimSpace(line)
	}()
	select {
	case line := <-lines:
		return line, nil
	case <-ctx.Done():
		return "", &ExitError{Code: ExitFailure, Err: api.Refuse(api.InvalidArgument, "not confirmed: nothing was changed")}
	}
}
