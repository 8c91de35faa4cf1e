package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A disk is mounted in a namespace of its own until the test ends, which needs no rights.
type disk struct {
	folder  string // where it is mounted
	outside string // the same folder as everybody else reaches it
	binary  string // runs a program inside, to be given to start
}

// mounted returns the disk that a shell command mounts at the folder $0.
func mounted(t *testing.T, command string) disk {
	t.Helper()
	folder := t.TempDir()
	cmd := exec.Command("sh", "-c", command+` && echo mounted && exec cat`, folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("a disk of one's own needs a user namespace, which is refused here: %v", err)
	}
	t.Cleanup(func() {
		in.Close() // which ends it
		cmd.Wait()
	})
	said := make([]byte, len("mounted"))
	if _, err := out.Read(said); err != nil || string(said) != "mounted" {
		cmd.Wait()
		t.Fatalf("%s: %s", command, stderr.String())
	}
	inside := write(t, filepath.Join(t.TempDir(), "inside.sh"), fmt.Sprintf("#!/bin/sh\nexec nsenter -t %d -U -m --preserve-credentials \"$@\"\n", cmd.Process.Pid))
	binary, err := filepath.Rel(binaries, inside)
	if err != nil {
		t.Fatal(err)
	}
	return disk{folder, fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, folder), binary}
}

// start runs saba server on the folder data of the disk.
func (d disk) start(t *testing.T) *process {
	t.Helper()
	return start(t, []string{"SABA_API_KEY=" + key}, d.binary, filepath.Join(binaries, "saba"), "server", "--listen", "127.0.0.1:0", "--data", filepath.Join(d.folder, "data"))
}

// fill writes a file until the disk has so many bytes left.
func fill(t *testing.T, path string, left int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		var s syscall.Statfs_t
		if err := syscall.Statfs(filepath.Dir(path), &s); err != nil {
			t.Fatal(err)
		}
		n := min(int(s.Bavail)*int(s.Bsize)-left, 1<<20)
		if n <= 0 {
			return
		}
		if _, err := f.Write(make([]byte, n)); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// A full disk costs nothing that was acknowledged: the server says 503 and serves what it has, survives kill -9 in that state
// (but needs room for a start), and goes on when there is some.
func TestAFullDisk(t *testing.T) {
	disk := mounted(t, `mount -t tmpfs -o size=64m tmpfs "$0"`)
	filler := filepath.Join(disk.outside, "filler")
	server := disk.start(t)
	base := server.consoleURL()
	var r struct{ ID string }
	if status := call(t, http.MethodPost, base, "/api/v0/hosts", strings.NewReader(`{"name":"a","meta":{}}`), &r); status != http.StatusOK {
		t.Fatalf("registering answered %d", status)
	}
	minute := time.Now().Unix()/60*60 - 3600
	acked := 0
	send := func() int {
		minute += 60
		status := call(t, http.MethodPost, base, "/api/v0/tsdb", strings.NewReader(fmt.Sprintf(`[{"hostId":%q,"name":"custom.n","time":%d,"value":1}]`, r.ID, minute)), nil)
		if status == http.StatusOK {
			acked++
		}
		return status
	}
	services := map[string]bool{}
	service := func() int {
		name := fmt.Sprintf("service-%d", len(services))
		status := call(t, http.MethodPost, base, "/api/v0/services", strings.NewReader(fmt.Sprintf(`{"name":%q,"memo":%q}`, name, strings.Repeat("x", 200))), nil)
		services[name] = status == http.StatusOK
		return status
	}
	check := func(when string) {
		t.Helper()
		if got := points(t, base, r.ID, "custom.n"); len(got) != acked {
			t.Errorf("%s there are %d points, %d were acknowledged", when, len(got), acked)
		}
		var list struct{ Services []struct{ Name string } }
		if status := get(t, base, "/api/v0/services", &list); status != http.StatusOK {
			t.Errorf("%s listing services answered %d", when, status)
		}
		there := map[string]bool{}
		for _, s := range list.Services {
			there[s.Name] = true
		}
		for name, was := range services {
			if was && !there[name] {
				t.Errorf("%s %s is gone, which was acknowledged", when, name)
			}
		}
	}
	for range 5 {
		if status := send(); status != http.StatusOK {
			t.Fatalf("a point was answered with %d", status)
		}
		if status := service(); status != http.StatusOK {
			t.Fatalf("a service was answered with %d", status)
		}
	}

	fill(t, filler, 1<<20)
	eventually(t, "a refusal of points", func() bool { return send() == http.StatusServiceUnavailable })
	check("on a nearly full disk")

	fill(t, filler, 0)
	if status := send(); status != http.StatusServiceUnavailable {
		t.Errorf("on a full disk a point was answered with %d", status)
	}
	refused := 0
	for range 200 {
		if status := service(); status >= 500 {
			refused++
		} else if status != http.StatusOK {
			t.Errorf("on a full disk a service was answered with %d", status)
		}
	}
	if refused == 0 {
		t.Error("on a full disk 200 services found room: the test shows nothing")
	}
	check("on a full disk")

	server.kill()
	again := disk.start(t)
	if code := again.wait(); code == 0 || !strings.Contains(again.output(), "make room") || strings.Contains(again.output(), "goroutine") {
		t.Errorf("a start on a full disk ends with %d and says %q, want a sentence", code, again.output())
	}
	t.Logf("of 200 services %d were refused; a start on a full disk: %q", refused, again.output())

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	server = disk.start(t)
	base = server.consoleURL()
	check("after a start with room")
	fill(t, filler, 0)
	eventually(t, "a refusal of points", func() bool { return send() == http.StatusServiceUnavailable })
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "room for points without a restart", func() bool { return send() == http.StatusOK })
	if status := service(); status != http.StatusOK {
		t.Errorf("with room again a service was answered with %d", status)
	}
	check("with room again")
	server.stop()
}

// A folder that cannot be written is refused in one sentence.
func TestAFolderThatCannotBeWritten(t *testing.T) {
	for name, command := range map[string]string{
		"an empty one": `mount -t tmpfs -o ro tmpfs "$0"`,
		"a used one":   `mkdir "$0/data" && mount --bind "$0/data" "$0/data" && mount -o remount,ro,bind "$0/data"`,
	} {
		t.Run(name, func(t *testing.T) {
			p := mounted(t, command).start(t)
			if code := p.wait(); code == 0 {
				t.Error("saba server ended with exit code 0")
			}
			out := strings.TrimSpace(p.output())
			if !strings.Contains(out, "data folder") || !strings.Contains(out, "read-only") || strings.Contains(out, "\n") {
				t.Errorf("saba server says %q, want one line about the data folder", out)
			}
		})
	}
}
