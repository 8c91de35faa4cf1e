package notify

import (
	"slices"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

func TestMessagesNameTheBusiest(t *testing.T) {
	mysqld, ruby := saba.Culprit{Name: "mysqld", PID: 1, CPU: 312.4, RSS: 3 << 30}, saba.Culprit{Name: "ruby", PID: 2, CPU: 4.9, RSS: 90 << 20}
	both := saba.Culprits{At: 1000, Uptime: 340, CPU: []saba.Culprit{mysqld, ruby}, Memory: []saba.Culprit{ruby, mysqld}}
	for name, tt := range map[string]struct {
		culprits *saba.Culprits
		status   saba.CheckStatus
		want     string // "" for no line
	}{
		"by CPU and by memory, and a start shortly before":    {&both, saba.CheckCritical, "mysqld 312% CPU; ruby 90 MiB; started 4 min before"},
		"a start long before says nothing":                    {&saba.Culprits{At: 1000, Uptime: 9000, CPU: both.CPU[:1]}, saba.CheckWarning, "mysqld 312% CPU"},
		"a start that is not known says nothing":              {&saba.Culprits{At: 1000, Memory: both.Memory[1:]}, saba.CheckWarning, "mysqld 3.0 GiB"},
		"nobody is blamed for next to nothing":                {&saba.Culprits{At: 1000, CPU: both.CPU[1:]}, saba.CheckWarning, ""},
		"a recovery does not repeat it":                       {&both, saba.CheckOK, ""},
		"an alert of which nothing is known has no such line": {nil, saba.CheckCritical, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := Message{Zone: time.UTC, Event: saba.Event{Kind: saba.EventAlert, Alert: &saba.Alert{OpenedAt: 900, Status: tt.status}, Culprits: tt.culprits}}
			facts := m.Facts()
			i := slices.IndexFunc(facts, func(f Fact) bool { return f.Name == "On the host" })
			if (i >= 0) != (tt.want != "") || i >= 0 && facts[i].Value != tt.want {
				t.Errorf("Facts = %+v, want %q", facts, tt.want)
			}
		})
	}
}
