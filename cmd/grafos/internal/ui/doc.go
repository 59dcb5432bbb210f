// Package ui is the face of every grafos command: where the cluster is and who asks
// (Connection), how an answer is shown (UI.Print), what a failure looks like and which
// exit code it has (UI.Fail, ExitCode), and how a person is asked before something is
// lost (UI.Confirm).
//
// Three rules hold for all of it. Standard output carries data only: a table on a
// terminal, tab-separated values in a pipe, the document of the API with --json.
// Standard error carries progress and failures; in a machine format it carries nothing
// but, on failure, one problem document. Whatever came from the cluster is stripped of
// control characters before a terminal sees it.
package ui
