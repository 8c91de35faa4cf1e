package notify

import (
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// move is a step of a replayed alert, some minutes after the beginning.
func move(minute int64, s saba.CheckStatus) saba.AlertMove {
	return saba.AlertMove{At: minute * 60, Status: s, Trigger: saba.TriggerMonitoring}
}

func TestTally(t *testing.T) {
	groups := []saba.NotificationGroup{{ID: "g", Default: true, Level: saba.NotifyAll, Channels: []string{"all", "grouped"}, Groups: []string{"grave"}}, {ID: "grave", Level: saba.NotifyCritical, Channels: []string{"grave"}}}
	channels := []saba.Channel{{ID: "all", Events: []string{"alert"}}, {ID: "grave", Events: []string{"alert"}}, {ID: "grouped", Events: []string{"alert", "alertGroup"}}}
	short := []saba.AlertMove{move(10, saba.CheckWarning), move(20, saba.CheckCritical), move(70, saba.CheckOK)}
	for name, tt := range map[string]struct {
		monitor  saba.Monitor
		host     saba.HostStatus
		steps    []saba.AlertMove
		downtime int64 // the minute in which one of 20 minutes begins; 0 for none
		collects []string
		want     [3]int // all, grave, grouped
	}{
		"each step is told, a warning not from critical on":    {steps: short, want: [3]int{3, 2, 3}},
		"nobody is told of a muted monitor":                    {monitor: saba.Monitor{Mute: true}, steps: short},
		"a mute of today is not of the past":                   {monitor: saba.Monitor{MuteUntil: 1 << 40}, steps: short, want: [3]int{3, 2, 3}},
		"nobody is told of a host in standby":                  {host: saba.Standby, steps: short},
		"after its interval it is told again":                  {monitor: saba.Monitor{NotificationInterval: new(int64(15))}, steps: short, want: [3]int{6, 5, 6}},
		"what is still open is told to the end":                {monitor: saba.Monitor{NotificationInterval: new(int64(60))}, steps: []saba.AlertMove{move(10, saba.CheckCritical)}, want: [3]int{10, 10, 10}},
		"what moved in a downtime is told once at its end":     {downtime: 15, steps: short, want: [3]int{3, 2, 3}},
		"what closed in a downtime is told":                    {downtime: 60, steps: short, want: [3]int{3, 2, 3}},
		"a reminder in a downtime waits until that has ended":  {monitor: saba.Monitor{NotificationInterval: new(int64(25))}, downtime: 40, steps: short, want: [3]int{4, 3, 4}},
		"a group of alerts is told instead, which is no count": {collects: []string{"m"}, steps: short, want: [3]int{3, 2, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			m := tt.monitor
			m.ID = "m"
			h := &saba.Host{ID: "h", Status: saba.Working}
			if tt.host != "" {
				h.Status = tt.host
			}
			f := Facts{Zone: time.UTC, Channels: channels, Groups: groups}
			if tt.downtime > 0 {
				f.Downtimes = []saba.Downtime{{Name: "d", Start: tt.downtime * 60, Duration: 20}}
			}
			tally := Tally{Facts: f, Monitor: m, Hosts: map[string]*saba.Host{"h": h}, Settings: []saba.AlertGroupSetting{{MonitorScopes: tt.collects}}, To: 600 * 60}
			alert := saba.ReplayedAlert{Alert: saba.Alert{ID: "1", Monitor: "m", Type: "host", Host: "h"}, Steps: tt.steps}
			got, cut, err := tally.Count(t.Context(), []saba.ReplayedAlert{alert})
			if err != nil || cut {
				t.Fatal(cut, err)
			}
			if is := [3]int{got[0].Count, got[1].Count, got[2].Count}; is != tt.want {
				t.Errorf("the channels get %v messages, want %v", is, tt.want)
			}
		})
	}
}

func TestTallyIsBounded(t *testing.T) {
	tally := Tally{Facts: Facts{Zone: time.UTC}, Monitor: saba.Monitor{NotificationInterval: new(int64(10))}, To: 30 * 86400}
	alerts := make([]saba.ReplayedAlert, 100)
	for i := range alerts {
		alerts[i].Steps = []saba.AlertMove{move(0, saba.CheckCritical)}
	}
	if _, cut, err := tally.Count(t.Context(), alerts); err != nil || !cut {
		t.Errorf("a count of 432,000 messages is cut: %t, %v", cut, err)
	}
}
