package mount

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		`/mnt/My\040Disk`: "/mnt/My Disk",
		`a\011b\012c\134`: "a\tb\nc\\",
		`\134040`:         `\040`, // once, not again
		`tail\04`:         `tail\04`,
		`\400`:            `\400`, // more than a byte
		`\x41`:            `\x41`,
		"":                "",
	} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q, want %q", in, got, want)
		}
	}
}

// Two may ask at the same moment: neither takes the other's call for a stuck one.
func TestTwoAskAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Prober{Stat: func(string) (Usage, error) {
			time.Sleep(time.Second)
			return Usage{BlockSize: 1, Blocks: 2, Free: 1, Available: 1}, nil
		}}
		mounts := []Mount{{Point: "/"}}
		other := make(chan []*Usage)
		go func() { u, _ := p.All(t.Context(), mounts); other <- u }()
		time.Sleep(time.Second / 2)
		mine, errs := p.All(t.Context(), mounts)
		if theirs := <-other; errs[0] != nil || mine[0] == nil || theirs[0] == nil {
			t.Errorf("one got %v, the other %v (%v); want both an answer", mine[0], theirs[0], errs)
		}
	})
}

// When the time is up before all are asked, the others are named as what they are: not asked,
// and so not stuck.
func TestMountsThatWereNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &Prober{Stat: func(point string) (Usage, error) {
			cancel()
			<-ctx.Done()
			return Usage{BlockSize: 1, Blocks: 2, Free: 1, Available: 1}, nil
		}}
		_, errs := p.All(ctx, []Mount{{Point: "/a"}, {Point: "/b"}, {Point: "/c"}})
		synctest.Wait()
		if !strings.Contains(errs[1].Error(), "on /b was not asked") || !strings.Contains(errs[2].Error(), "on /c was not asked") || len(p.stuck) != 0 {
			t.Errorf("errors %v, stuck %v; want /b and /c named as not asked, none stuck", errs, p.stuck)
		}
	})
}

// Whatever is mounted, no mount point and no device counts twice.
func FuzzDistinct(f *testing.F) {
	for _, name := range seeds(f) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, text string) {
		points, devices := map[string]bool{}, map[string]bool{}
		for _, m := range Distinct(Parse(text), func(Mount) bool { return true }) {
			if points[m.Point] || devices[m.Device] {
				t.Errorf("%+v counts twice", m)
			}
			points[m.Point], devices[m.Device] = true, true
		}
	})
}

// seeds returns the tables of the machines that the collectors are tested with.
func seeds(f *testing.F) []string {
	f.Helper()
	found, err := filepath.Glob(filepath.Join("..", "..", "..", "internal", "collect", "testdata", "*", "*", "self", "mountinfo"))
	if err != nil || len(found) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	return found
}

func FuzzUnescape(f *testing.F) {
	f.Add(`/mnt/My\040Disk`)
	f.Fuzz(func(t *testing.T, s string) {
		// What the kernel escapes comes back.
		var escaped strings.Builder
		for i := range len(s) {
			switch s[i] {
			case ' ':
				escaped.WriteString(`\040`)
			case '\\':
				escaped.WriteString(`\134`)
			default:
				escaped.WriteByte(s[i])
			}
		}
		if got := unescape(escaped.String()); got != s {
			t.Errorf("unescape(%q) = %q, want %q", escaped.String(), got, s)
		}
		unescape(s)
	})
}
