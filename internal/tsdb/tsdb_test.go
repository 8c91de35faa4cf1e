package tsdb

import (
	"testing"

	"github.com/saba-monitor/saba/internal/storetest"
)

func TestSamples(t *testing.T) {
	storetest.TestSamples(t, func(t *testing.T, dir string) storetest.Samples {
		db, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return db
	})
}
