package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/saba-monitor/saba/internal/statefile"
)

// A State keeps a JSON document from run to run, in a file that is private to the user of the
// check. The zero value keeps one document for these arguments of the check.
type State struct {
	Dir string // the folder, made if need be; "" means MACKEREL_PLUGIN_WORKDIR, or that for temporary files
	Key string // tells the documents of one check apart: the path of a log
}

// Load reads the document into v, which is as it was when the document is not there. ctx is the
// one that Check was called with. What cannot be read is an error; Save replaces it.
func (s State) Load(ctx context.Context, v any) (found bool, err error) {
	file, err := s.file(ctx)
	if err != nil {
		return false, err
	}
	b, err := statefile.Read(file)
	if err != nil || b == nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("%s does not hold what this version knows: %w", file, err)
	}
	return true, nil
}

// Save replaces the document by v: as a whole, or not at all.
func (s State) Save(ctx context.Context, v any) error {
	file, err := s.file(ctx)
	if err != nil {
		return err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if s.Dir != "" {
		if err := os.MkdirAll(s.Dir, 0o700); err != nil {
			return err
		}
	}
	return statefile.Write(file, b)
}

// file returns where the document is.
func (s State) file(ctx context.Context) (string, error) {
	t, ok := ctx.Value(turnKey{}).(turn)
	if !ok {
		return "", errors.New("a check has a state while it runs only: pass on the context that Check was called with")
	}
	dir := s.Dir
	if dir == "" {
		dir = statefile.Dir(t.getenv)
	}
	args := t.args
	if s.Key != "" {
		args = append(append([]string{}, args...), "\x00"+s.Key) // no argument has it
	}
	return filepath.Join(dir, statefile.Name("saba-check-"+strings.ReplaceAll(t.check, " ", "-"), args)), nil
}
