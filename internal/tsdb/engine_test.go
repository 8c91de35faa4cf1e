package tsdb

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/prometheus/tsdb"
)

func TestStripes(t *testing.T) {
	for series, want := range map[uint64]int{
		0:             1 << 15,
		150_000:       1 << 15, // 1,000 hosts
		7 << 15:       1 << 15,
		7<<15 + 1:     1 << 16,
		750_000:       1 << 17,
		1_000_000_000: 1 << 20,
	} {
		if got := stripes(series); got != want {
			t.Errorf("stripes(%d) = %d, want %d", series, got, want)
		}
	}
}

// The newest block that was made of the head tells how many series there are, and no others.
func TestTheNewestBlockTellsHowManySeriesThereAre(t *testing.T) {
	dir := t.TempDir()
	for name, block := range map[string]struct {
		end    int64
		series uint64
		late   bool // made of late points
	}{
		"01HAAAAAAAAAAAAAAAAAAAAAAA": {2000, 100, true},
		"01HBBBBBBBBBBBBBBBBBBBBBBB": {1000, 101, false},
		"01HCCCCCCCCCCCCCCCCCCCCCCC": {999, 102, false},
		"damaged":                    {3000, 103, false},
	} {
		var m tsdb.BlockMeta
		m.MaxTime, m.Stats.NumSeries = block.end, block.series
		if block.late {
			m.Compaction.SetOutOfOrder()
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "meta.json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := seriesBefore(dir); got != 101 || err != nil {
		t.Errorf("seriesBefore = %d, %v; want 101 of the second block", got, err)
	}
	if got, err := seriesBefore(t.TempDir()); got != 0 || err != nil {
		t.Errorf("seriesBefore of an empty folder = %d, %v; want 0", got, err)
	}
}
