package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// A retirer answers each try with the next error, and then with the last one for ever.
type retirer struct {
	errs  []error
	tries []time.Time
}

func (r *retirer) RetireHost(ctx context.Context, id string) error {
	r.tries = append(r.tries, time.Now())
	return r.errs[min(len(r.tries), len(r.errs))-1]
}

func TestRetire(t *testing.T) {
	later := &client.Error{Status: 503, JSON: true, RetryAfter: 25 * time.Second}
	for name, tt := range map[string]struct {
		errs  []error
		tries int
		took  time.Duration
		kept  bool // the id
		want  string
	}{
		"at once":                        {[]error{nil}, 1, 0, false, ""},
		"after a while without a server": {[]error{networkError(), apiError(500), nil}, 3, 6 * time.Second, false, ""},
		"not in vain for ever":           {[]error{networkError()}, 10, 27 * time.Second, true, "host h1 was not retired: "},
		"when the server asks to wait":   {[]error{later, nil}, 2, 25 * time.Second, false, ""},
		"but a minute at most":           {[]error{later}, 3, time.Minute, true, "host h1 was not retired: "},
		"a page of a proxy says nothing": {[]error{&client.Error{Status: 404}, nil}, 2, 3 * time.Second, false, ""},
		"a key that may not":             {[]error{apiError(403)}, 1, 0, true, "host h1 was not retired: "},
		"a host that is not there":       {[]error{apiError(404)}, 1, 0, true, "host h1 was not retired: "},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.WriteFile(filepath.Join(root, "host.json"), []byte(`{"id":"h1"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, f := range []string{"id", "queue/0001", "checks/reports", "custom-identifier"} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(root, f)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(root, f), []byte("h1"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				id, err := HostID(root)
				if err != nil {
					t.Fatal(err)
				}
				r, began := &retirer{errs: tt.errs}, time.Now()
				err = Retire(t.Context(), r, root, id, quiet())
				if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
					t.Errorf("Retire = %v, want %q", err, tt.want)
				}
				if took := time.Since(began); len(r.tries) != tt.tries || took != tt.took {
					t.Errorf("%d tries in %v, want %d in %v", len(r.tries), took, tt.tries, tt.took)
				}
			})
			for _, f := range []string{"id", "host.json", "queue", "checks"} {
				if _, err := os.Stat(filepath.Join(root, f)); (err == nil) != tt.kept {
					t.Errorf("%s: %v, want kept: %v", f, err, tt.kept)
				}
			}
			if _, err := os.Stat(filepath.Join(root, "custom-identifier")); err != nil {
				t.Error("the machine's custom identifier is no part of the host's id:", err)
			}
		})
	}
}

func TestHostIDOfNoHost(t *testing.T) {
	if _, err := HostID(t.TempDir()); !errors.Is(err, saba.ErrNotFound) {
		t.Errorf("HostID = %v, want %v", err, saba.ErrNotFound)
	}
}
