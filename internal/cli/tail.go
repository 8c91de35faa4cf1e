package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/agent"
	"github.com/saba-monitor/saba/internal/proxy"
	"github.com/saba-monitor/saba/internal/statefile"
	"github.com/saba-monitor/saba/internal/tail"
)

var tailCommand = Command{
	Name:  "tail",
	Short: "send lines of log files and of the journal to a drain, which makes metrics of them",
	Run:   runTail,
}

// tailTimeout bounds a request with lines.
const tailTimeout = 30 * time.Second

func runTail(ctx context.Context, env *Env, args []string) error {
	flags := env.Flags("[FILE…]")
	drain := flags.String("drain", "", "`URL` of the drain, with its token; for a moment visible to everybody on this host, so rather --drain-file or SABA_DRAIN_URL")
	drainFile := flags.String("drain-file", "", "`file` that holds the URL of the drain alone")
	journal := flags.Bool("journal", false, "read systemd's journal too")
	var units, journalFields listFlag
	flags.Var(&units, "unit", "only this systemd `unit` of the journal; may be repeated; implies --journal")
	flags.Var(&journalFields, "journal-match", "only entries with this `FIELD=value`, as journalctl takes it; may be repeated; implies --journal")
	journalDir := flags.String("journal-directory", "", "`folder` of another journal; implies --journal")
	state := flags.String("state", "", "`file` that keeps how far was read (default in "+agent.DefaultRoot+", of a name for each drain and each list of files)")
	whole := flags.Bool("from-start", false, "in the first run, send what is in the files already; else it begins with what comes")
	match := flags.String("match", "", "send only lines that this `regexp` matches")
	host := flags.String("host", "", "what lines say that they are of (default the host's name)")
	verbose := flags.Bool("verbose", false, "log more")
	if err := env.Parse(flags, args); err != nil {
		return err
	}
	address, err := drainAddress(env, *drain, *drainFile)
	if err != nil {
		return err
	}
	o := tail.Options{Drain: address, Files: flags.Args(), Whole: *whole, Host: *host, State: *state, Now: time.Now, Random: rand.Reader, Zone: time.Local}
	for i, f := range o.Files { // what is kept names files whole
		if o.Files[i], err = filepath.Abs(f); err != nil {
			return saba.Errorf(saba.ErrInvalid, "%s: %v", f, err)
		}
	}
	if *journal || len(units) > 0 || len(journalFields) > 0 || *journalDir != "" {
		o.Journal = &tail.Journal{Command: "journalctl"}
		for _, u := range units {
			o.Journal.Args = append(o.Journal.Args, "--unit="+u)
		}
		if *journalDir != "" {
			o.Journal.Args = append(o.Journal.Args, "--directory="+*journalDir)
		}
		for _, f := range journalFields {
			if !strings.Contains(f, "=") || strings.HasPrefix(f, "-") {
				return saba.Errorf(saba.ErrInvalid, "--journal-match %s is not FIELD=value", f)
			}
			o.Journal.Args = append(o.Journal.Args, f)
		}
	}
	if len(o.Files) == 0 && o.Journal == nil {
		return saba.Errorf(saba.ErrInvalid, "there is nothing to read: name files, or give --journal")
	}
	if *match != "" {
		if o.Match, err = regexp.Compile(*match); err != nil {
			return saba.Errorf(saba.ErrInvalid, "--match: %v", err)
		}
	}
	if o.Host == "" {
		if o.Host, err = os.Hostname(); err != nil {
			return fmt.Errorf("the name of this host: %w; give --host", err)
		}
	}
	if o.State == "" {
		o.State = filepath.Join(agent.DefaultRoot, statefile.Name("tail", slices.Concat([]string{address}, o.Files, journalArgs(o.Journal))))
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	o.Log = env.Logger(level)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = func(r *http.Request) (*url.URL, error) { return proxy.FromEnvironment(env.Getenv)(r) }
	o.Client = &http.Client{Timeout: tailTimeout, Transport: transport}
	o.Log.Info("sending lines", "files", strings.Join(o.Files, " "), "journal", o.Journal != nil, "state", o.State)
	return tail.Run(ctx, o)
}

func journalArgs(j *tail.Journal) []string {
	if j == nil {
		return nil
	}
	return append([]string{"journal"}, j.Args...)
}

// drainAddress returns the address of the drain: of the flag, the file or the environment.
func drainAddress(env *Env, flag, file string) (string, error) {
	if flag != "" && file != "" {
		return "", saba.Errorf(saba.ErrInvalid, "of --drain and --drain-file, give one")
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", saba.Errorf(saba.ErrInvalid, "--drain-file: %v", err)
		}
		flag = strings.TrimSpace(string(b))
	}
	address := cmp.Or(flag, env.Getenv("SABA_DRAIN_URL"))
	u, err := url.Parse(address)
	switch {
	case address == "":
		return "", saba.Errorf(saba.ErrInvalid, "no drain is given: --drain, --drain-file or SABA_DRAIN_URL has its address, https://SERVER/drains/TOKEN; make one on the console, or with POST /api/v0/drains")
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", !strings.Contains(u.Path, "/drains/"):
		return "", saba.Errorf(saba.ErrInvalid, "the address of the drain is none: it looks like https://SERVER/drains/TOKEN") // not shown: it may hold the token
	}
	return address, nil
}
