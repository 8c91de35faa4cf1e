package agent

import (
	"os"
	"slices"
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

func TestOnlyWhatNobodyHasWrittenIsShed(t *testing.T) {
	const head = "400000-8ad000 r-xp 00000000 08:01 42                         /usr/bin/saba-agent\nSize:   4788 kB\nRss:  3000 kB\n"
	for name, tt := range map[string]struct {
		smaps string
		want  []mapping
	}{
		"code":                           {head + "Anonymous:   0 kB\nSwap:        0 kB\nSwapPss:     0 kB\n", []mapping{{0x400000, 0x8ad000}}},
		"written in memory":              {head + "Anonymous:   4 kB\nSwap:        0 kB\n", nil},
		"written and swapped out":        {head + "Anonymous:   0 kB\nSwap:        4 kB\n", nil},
		"a kernel that does not say":     {head + "Anonymous:   0 kB\n", nil},
		"figures of the mapping before":  {strings.Replace(head, "r-xp", "rw-p", 1) + "Anonymous: 0 kB\n" + head + "Swap: 0 kB\n", nil},
		"what may be written":            {strings.Replace(head, "r-xp", "rw-p", 1) + "Anonymous: 0 kB\nSwap: 0 kB\n", nil},
		"another file":                   {strings.Replace(head, "/usr/bin/saba-agent", "/usr/lib/ld.so", 1) + "Anonymous: 0 kB\nSwap: 0 kB\n", nil},
		"a program that was replaced":    {strings.Replace(head, "saba-agent", "saba-agent (deleted)", 1) + "Anonymous: 0 kB\nSwap: 0 kB\n", nil},
		"addresses that are none":        {strings.Replace(head, "400000-", "zz-", 1) + "Anonymous: 0 kB\nSwap: 0 kB\n", nil},
		"the end of the file, too early": {head, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := unwritten(tt.smaps, "/usr/bin/saba-agent"); !slices.Equal(got, tt.want) {
				t.Errorf("unwritten = %x, want %x", got, tt.want)
			}
		})
	}
}
