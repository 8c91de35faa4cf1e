package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/cli"
)

func TestExitCodeAndWordsOfAnError(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		code int
		want string
	}{
		"no error":              {nil, 0, ""},
		"any error":             {errors.New("the disk is full"), 1, "saba do: the disk is full\n"},
		"what is invalid":       {fmt.Errorf("read x: %w", saba.Invalidf("name", "is empty")), 2, "saba do: read x: name is empty\n"},
		"what is not found":     {saba.Errorf(saba.ErrNotFound, "no host h1"), 4, "saba do: no host h1\n"},
		"several have one each": {errors.Join(saba.Invalidf("a", "is bad"), saba.Invalidf("b", "is bad")), 2, "saba do: a is bad\nsaba do: b is bad\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr strings.Builder
			sys := cli.System{Stdout: io.Discard, Stderr: &stderr}
			do := cli.Command{Name: "do", Run: func(context.Context, *cli.Env, []string) error { return tt.err }}
			if code := cli.Run(t.Context(), []string{"/usr/bin/saba", "do"}, sys, []cli.Command{do}); code != tt.code || stderr.String() != tt.want {
				t.Errorf("Run = %d with %q on stderr, want %d with %q", code, stderr.String(), tt.code, tt.want)
			}
		})
	}
}
