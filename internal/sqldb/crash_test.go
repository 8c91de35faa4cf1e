package sqldb_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
)

// crashEnv names the database that a child process of TestKilled writes until it is killed.
const crashEnv = "SABA_TEST_CRASH_DATABASE"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		if err := writeForever(context.Background(), path); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever makes hosts of several rows each and prints the id of each that was acknowledged.
func writeForever(ctx context.Context, path string) error {
	db, err := sqldb.Open(ctx, path)
	if err != nil {
		return err
	}
	if _, err := db.EnsureOrg(ctx, saba.Org{ID: "org1", Name: "first"}); err != nil {
		return err
	}
	before, err := db.Hosts(ctx, "org1", saba.HostFilter{})
	if err != nil {
		return err
	}
	for n := len(before); ; n++ {
		h, checks := hostNumber(n)
		ids := 0
		if err := db.CreateHost(ctx, h, checks, func() (string, error) {
			ids++
			return fmt.Sprintf("%s-%d", h.ID, ids), nil
		}); err != nil {
			return err
		}
		if _, err := fmt.Println(h.ID); err != nil {
			return err
		}
	}
}

func hostNumber(n int) (saba.Host, []saba.CheckDeclaration) {
	return saba.Host{
		ID: fmt.Sprintf("host%05d", n), Org: "org1", Name: fmt.Sprint("app", n), Status: saba.Working, CreatedAt: int64(n), Meta: []byte(`{}`),
		Roles: []saba.RoleName{{Service: fmt.Sprint("service", n%7), Role: fmt.Sprint("role", n)}, {Service: "shop", Role: "web"}},
	}, []saba.CheckDeclaration{{Name: "disk"}, {Name: "ssh"}}
}

// Whenever the process is killed, what was acknowledged is there, and nothing is there by half.
func TestKilled(t *testing.T) { killed(t, filepath.Join(t.TempDir(), "saba.db")) }

func killed(t *testing.T, target string) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	for _, lines := range []int{1, 2, 17, 60, 141} {
		child := exec.Command(exe)
		child.Env = append(os.Environ(), crashEnv+"="+target)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		scan := bufio.NewScanner(out)
		for range lines {
			if !scan.Scan() {
				t.Fatalf("the child ended by itself: %v", errors.Join(scan.Err(), child.Wait()))
			}
			acknowledged++
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for scan.Scan() { // acknowledged between our last look and the kill
			acknowledged++
		}
		_ = child.Wait() // it was killed: the error says so

		db, err := sqldb.Open(t.Context(), target)
		if err != nil {
			t.Fatalf("open after the kill: %v", err)
		}
		hosts, err := db.Hosts(t.Context(), "org1", saba.HostFilter{})
		if err != nil {
			t.Fatal(err)
		}
		if len(hosts) < acknowledged || len(hosts) > acknowledged+1 {
			t.Errorf("%d hosts were acknowledged, %d are there", acknowledged, len(hosts))
		}
		for _, h := range hosts {
			checks, err := db.Checks(t.Context(), "org1", h.ID)
			if err != nil {
				t.Fatal(err)
			}
			if len(h.Roles) != 2 || len(checks) != 2 {
				t.Errorf("host %s has %d roles and %d checks, want 2 and 2", h.ID, len(h.Roles), len(checks))
			}
		}
		acknowledged = len(hosts)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
