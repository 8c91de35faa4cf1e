package location

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// s3Program downloads an object (cmd/saba-agent-s3). It lies beside this program or on the PATH.
const s3Program = "saba-agent-s3"

// s3Timeout bounds it with what it needs to end.
const s3Timeout = 30 * time.Second

// fetchS3 downloads s3://BUCKET/KEY by a program of its own, so that AWS's client is in no agent's memory.
func fetchS3(ctx context.Context, u *url.URL) (Document, error) {
	name := u.Redacted()
	program, err := beside(s3Program)
	if err != nil {
		return Document{}, fmt.Errorf("%s: %w: put it beside this program or on the PATH, or name a file or an http address", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s3Timeout)
	defer cancel()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, name)
	cmd.Stdout, cmd.Stderr = &most{&out, maxDocument + 1}, &most{&said, 4 << 10}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		sentence := strings.TrimSpace(said.String())
		switch exit.ExitCode() {
		case 2:
			return Document{}, saba.Errorf(saba.ErrInvalid, "%s", sentence)
		case 4:
			return Document{}, fmt.Errorf("%s: %w", sentence, fs.ErrNotExist)
		}
		return Document{}, errors.New(sentence)
	}
	if err != nil {
		return Document{}, fmt.Errorf("%s: %w", name, err)
	}
	text, err := readDocument(name, &out)
	return Document{Name: name, Text: text}, err
}

// beside returns the path of a program in the folder of this one, or on the PATH.
func beside(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		if path := filepath.Join(filepath.Dir(self), name); executable(path) {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("the program %s, which S3 needs, is not there", name)
	}
	return path, nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// A most keeps the first bytes that are written to it.
type most struct {
	to   *bytes.Buffer
	left int
}

func (m *most) Write(p []byte) (int, error) {
	n, _ := m.to.Write(p[:min(len(p), m.left)]) // into memory
	m.left -= n
	return len(p), nil
}
