package collect

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func memoryOf(t *testing.T, text string) map[string]float64 {
	t.Helper()
	v, err := memoryValues(parseMeminfo(text))
	if err != nil {
		t.Fatal(err)
	}
	return byName(v)
}

const swapLines = "SwapCached: 10 kB\nSwapTotal: 200 kB\nSwapFree: 150 kB\n"

// With and without MemAvailable the names are two sets with nothing in common beyond the
// first five: a host never posts both.
func TestMemoryNames(t *testing.T) {
	common := []string{"memory.swap_cached", "memory.swap_free", "memory.swap_total", "memory.total", "memory.used"}
	for name, tt := range map[string]struct {
		text string
		more []string
		used float64
	}{
		"a kernel that tells MemAvailable": {"MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nBuffers: 50 kB\nCached: 300 kB\n" + swapLines,
			[]string{"memory.mem_available"}, 600 * 1024},
		"one that does not": {"MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 300 kB\n" + swapLines,
			[]string{"memory.buffers", "memory.cached", "memory.free"}, 550 * 1024},
	} {
		t.Run(name, func(t *testing.T) {
			got := memoryOf(t, tt.text)
			want := slices.Sorted(slices.Values(slices.Concat(common, tt.more)))
			if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
				t.Errorf("names %v, want %v", names, want)
			}
			if got["memory.used"] != tt.used || got["memory.total"] != 1000*1024 {
				t.Errorf("used %v of %v, want %v of %v", got["memory.used"], got["memory.total"], tt.used, 1000*1024)
			}
		})
	}
}

func TestMemoryWithoutALine(t *testing.T) {
	got := memoryOf(t, "MemTotal: 1000 kB\nMemAvailable: 2000 kB\nSwapTotal: many kB\n")
	if want := map[string]float64{"memory.total": 1000 * 1024, "memory.mem_available": 2000 * 1024}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v: what is not there, or cannot be, has no value", got, want)
	}
	got = memoryOf(t, "MemTotal: 1000 kB\nMemFree: 900 kB\nCached: 300 kB\n")
	if _, ok := got["memory.used"]; ok {
		t.Errorf("got %v, want no memory.used below zero", got)
	}
	if v, err := memoryValues(parseMeminfo("MemFree: 1 kB\n")); err == nil || !strings.Contains(err.Error(), "MemTotal") {
		t.Errorf("without MemTotal: %v, %v; want an error that names it", v, err)
	}
}
