// Command saba-agent-s3 prints one object of S3: the container agent runs it when its configuration is at s3://BUCKET/KEY. It exits with 2 when its argument is none, and
// with 4 when there is nothing there.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/s3"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: saba-agent-s3 s3://BUCKET/KEY")
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	err := s3.Copy(ctx, out, os.Args[1])
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	switch {
	case errors.Is(err, saba.ErrInvalid):
		os.Exit(2)
	case errors.Is(err, fs.ErrNotExist):
		os.Exit(4)
	}
	os.Exit(1)
}
