package target

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/saba-monitor/saba/internal/argv"
	"github.com/saba-monitor/saba/plugin"
)

// A Secret is a password: the value of a flag, which everybody on the host may see, or better
// the content of a file or an environment variable.
type Secret struct {
	value, file, env string
}

// AddFlags adds -name and -name-file to fs; the environment variable env is read in their absence.
func (s *Secret) AddFlags(fs *flag.FlagSet, name, env string) {
	s.env = env
	fs.Var(shown{&s.value}, name, "`"+name+"`; for a moment visible to everybody on this host, so rather "+env+" in the environment, or -"+name+"-file")
	fs.StringVar(&s.file, name+"-file", "", "`file` that holds the "+name)
}

// A shown is the value of a flag that is hidden once it was read.
type shown struct{ value *string }

func (v shown) String() string { return "" }

func (v shown) Set(s string) error {
	*v.value = s
	argv.Hide(s)
	return nil
}

// Read returns the secret, "" when there is none. It reads anew each time: secrets change. ctx is
// the one that Collect was called with.
func (s *Secret) Read(ctx context.Context) (string, error) {
	switch {
	case s.value != "":
		return s.value, nil
	case s.file == "":
		return plugin.Getenv(ctx, s.env), nil
	}
	f, err := os.Open(s.file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	const most = 64 << 10
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(b) > most {
		err = fmt.Errorf("%s is too long to hold a secret", s.file)
	}
	return strings.TrimRight(string(b), "\r\n"), err
}
