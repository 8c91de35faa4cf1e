package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestOnlyCleanMappingsOfTheProgramAreDropped(t *testing.T) {
	const smaps = `00400000-01588000 r-xp 00000000 fe:00 12 /usr/bin/saba
Size:              17952 kB
Rss:                9000 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
01588000-0274e000 r--p 01188000 fe:00 12 /usr/bin/saba
Rss:                9000 kB
Anonymous:             4 kB
0274e000-028a1000 r--p 0234e000 fe:00 12 /usr/bin/saba
Anonymous:             0 kB
028a1000-029a1000 rw-p 0234e000 fe:00 12 /usr/bin/saba
Anonymous:             0 kB
c000000000-c00e000000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00000000 fe:00 13 /usr/share/saba
Anonymous:             0 kB
7f0000001000-7f0000002000 r--s 00000000 fe:00 13 /data/saba
Anonymous:             0 kB
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
Anonymous:             0 kB
`
	want := []mapping{{0x400000, 0x1588000}, {0x274e000, 0x28a1000}}
	if got := cleanMappings(strings.NewReader(smaps), "/usr/bin/saba"); !slices.Equal(got, want) {
		t.Errorf("clean are %x, want %x", got, want)
	}
	if got := cleanMappings(strings.NewReader("nonsense\n- x y z a b\nAnonymous: 0 kB\n"), "b"); len(got) != 0 {
		t.Errorf("of nonsense, %x are clean", got)
	}
}

// programPages returns how many KiB of this process' memory are pages of files.
func programPages(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "RssFile:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTheProgramRunsOnWithoutItsPages(t *testing.T) {
	before := programPages(t)
	for range 3 {
		dropProgram()
	}
	if after := programPages(t); after >= before {
		t.Errorf("%d KiB of files are in memory after, and %d before", after, before)
	}
}
