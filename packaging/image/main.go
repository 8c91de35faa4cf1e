// Command image makes the container images of saba without a daemon: OCI archives that docker, podman, skopeo and
// containerd take, the same byte for byte from the same commit. It then reads each archive anew and says what is not as
// it should be.
//
// Files to read: contents.go says what an image holds, oci.go how it is written, check.go what is looked at. It runs in
// the folder packaging.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// run builds and checks the images that args ask for, with a line for each on out.
func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("image", flag.ContinueOnError)
	var b build
	fs.StringVar(&b.root, "root", "..", "the `folder` of the repository")
	fs.StringVar(&b.goCommand, "go", "go", "the go `command`")
	fs.StringVar(&b.revision, "revision", "unknown", "the `commit` that is built")
	created := fs.Int64("created", 0, "the `time` of that commit in Unix seconds, which is the images' time")
	arches := fs.String("arch", "amd64 arm64", "the `architectures`, as GOARCH names them, with blanks between")
	only := fs.String("image", "", "build the image of this `name` alone")
	to := fs.String("out", "../bin/images", "the `folder` of the archives")
	check := fs.Bool("check", false, "build nothing: check the archives that are named")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *check {
		return checkAll(ctx, fs.Args(), out)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	b.created = time.Unix(*created, 0).UTC()
	if b.arches = strings.Fields(*arches); len(b.arches) == 0 {
		return errors.New("-arch names no architecture")
	}
	var err error
	if b.version, err = version(b.root); err != nil {
		return err
	}
	if err := os.MkdirAll(*to, 0o755); err != nil {
		return err
	}
	var files []string
	for _, i := range images {
		if *only != "" && i.name != *only {
			continue
		}
		file := filepath.Join(*to, i.name+".tar")
		if err := b.write(ctx, i, file); err != nil {
			return fmt.Errorf("build the image %s: %w", i.name, err)
		}
		files = append(files, file)
	}
	if files == nil {
		return fmt.Errorf("there is no image %q", *only)
	}
	return checkAll(ctx, files, out)
}

// checkAll checks archives and says of each on out what it is. The error names each fault of all of them.
func checkAll(ctx context.Context, files []string, out io.Writer) error {
	var faults []error
	for _, file := range files {
		r, err := checkFile(ctx, file, runtime.GOARCH)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
			continue
		}
		fmt.Fprintf(out, "%s %s %s\n", file, r.name, r.digest)
		for _, line := range r.images {
			fmt.Fprintf(out, "  %s\n", line)
		}
	}
	return errors.Join(faults...)
}
