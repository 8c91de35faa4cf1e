// Command sh is the shell of the agent's image, where there is no other: string commands of configurations and scripts
// begin with it. It has a shell's language and what is built into one; cat, grep and the like are not in the image.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs sh -c LINE [NAME [ARGUMENT…]], sh FILE [ARGUMENT…] or sh alone, which reads its stdin, and returns the exit
// code, which is 2 for what is no shell's language.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var options []string
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-c" && args[0] != "-" && args[0] != "--" && args[0] != "-s" {
		options, args = append(options, args[0]), args[1:]
	}
	var source io.Reader
	name := "sh"
	switch {
	case len(args) > 0 && args[0] == "-c":
		if len(args) < 2 {
			fmt.Fprintln(stderr, "sh: -c needs a command")
			return 2
		}
		source, args = strings.NewReader(args[1]), args[2:]
		if len(args) > 0 {
			name, args = args[0], args[1:]
		}
	case len(args) > 0 && args[0] != "-" && args[0] != "--" && args[0] != "-s":
		file, err := os.Open(args[0])
		if err != nil {
			fmt.Fprintf(stderr, "sh: %v\n", err)
			return 127
		}
		defer file.Close()
		source, name, args = file, args[0], args[1:]
	default:
		source = stdin
		if len(args) > 0 {
			args = args[1:]
		}
	}
	program, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(source, name)
	if err != nil {
		fmt.Fprintf(stderr, "sh: %v\n", err)
		return 2
	}
	shell, err := interp.New(interp.StdIO(stdin, stdout, stderr), interp.Params(append(append(options, "--"), args...)...))
	if err != nil {
		fmt.Fprintf(stderr, "sh: %v\n", err)
		return 2
	}
	err = shell.Run(ctx, program)
	if code, ok := errors.AsType[interp.ExitStatus](err); ok {
		return int(code)
	}
	if err != nil {
		fmt.Fprintf(stderr, "sh: %v\n", err)
		return 1
	}
	return 0
}
