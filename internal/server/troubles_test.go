package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/internal/tsdb"
)

func TestTheRoomOnTheDisk(t *testing.T) {
	for free, want := range map[uint64]string{
		512 << 20:   "",
		512<<20 - 1: "nearly full: 511 MiB are free. With less than 128 MiB",
		128 << 20:   "nearly full: 128 MiB are free.",
		128<<20 - 1: "is full: 127 MiB are free, and saba leaves 128 MiB alone. No samples are stored.",
		0:           "is full: 0 MiB",
		1 << 40:     "",
	} {
		got := roomTrouble("/data", tsdb.Room{Free: free, Total: 1 << 40, Need: 128 << 20})
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("with %d bytes free: %q, want %q", free, got, want)
		}
	}
}

func TestDamagedSamplesAreATrouble(t *testing.T) {
	o := options(t)
	s := open(t, o)
	before := s.troubles()
	folder := filepath.Join(o.Data, "samples", "damaged")
	for _, name := range []string{"01A", "01B", "01C", "wal-00000003"} {
		if err := os.MkdirAll(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	after := s.troubles()
	if len(after) != len(before)+1 {
		t.Fatalf("troubles are %q and were %q, want one more", after, before)
	}
	text := after[len(after)-1]
	for _, want := range []string{folder, "(01A, 01B, 01C and 1 more)", "Restore a backup"} {
		if !strings.Contains(text, want) {
			t.Errorf("the trouble is %q, want %q in it", text, want)
		}
	}
	s = &Server{opts: Options{Data: filepath.Join(o.Data, "none")}}
	if after := s.troubles(); len(after) == 0 || !strings.Contains(after[0], "cannot tell") {
		t.Errorf("without its folder the troubles are %q, want that it cannot tell", after)
	}
}
