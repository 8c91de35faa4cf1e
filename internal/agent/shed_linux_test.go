package agent

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// fileMemory returns how many bytes of files this process has mapped and resident.
func fileMemory(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "RssFile:")
	fields := strings.Fields(rest)
	n, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

func TestTheProgramIsLessInMemoryAfterShed(t *testing.T) {
	before := fileMemory(t)
	shed()
	if after := fileMemory(t); after >= before-1<<20 {
		t.Errorf("%d bytes of files are in memory, %d before", after, before)
	}
}
