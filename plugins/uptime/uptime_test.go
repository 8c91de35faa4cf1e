package uptime

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/saba-monitor/saba/plugin/plugintest"
)

func TestThisHost(t *testing.T) {
	first := plugintest.Collect(t, Plugin, nil)["seconds"]
	if second := plugintest.Collect(t, Plugin, nil)["seconds"]; first <= 0 || second < first {
		t.Errorf("this host runs for %v and then for %v seconds", first, second)
	}
}

func TestWhatTheKernelNeverSays(t *testing.T) {
	for text, want := range map[string]string{
		"350735.47 234388.90\n": "",
		"":                      `begins with "", which is no number`,
		"NaN 1":                 `begins with "NaN"`,
		"-1 1":                  `begins with "-1"`,
		"up 3 days":             `begins with "up"`,
	} {
		values, err := (&collector{fstest.MapFS{"uptime": {Data: []byte(text)}}}).Collect(t.Context())
		if want == "" && (err != nil || len(values) != 1 || values[0].Value != 350735.47) || want != "" && (err == nil || !strings.Contains(err.Error(), want) || len(values) > 0) {
			t.Errorf("%q: Collect = %v, %v, want %q", text, values, err, want)
		}
	}
	if _, err := (&collector{fstest.MapFS{}}).Collect(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "/proc: open uptime: ") {
		t.Errorf("without /proc: %v", err)
	}
}
