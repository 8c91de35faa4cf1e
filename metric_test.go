package saba_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

func TestMinute(t *testing.T) {
	for at, want := range map[int64]int64{
		0: 0, 59: 0, 60: 60, 61: 60, 1_767_225_605: 1_767_225_600,
		-1: -60, -60: -60, -61: -120, math.MaxInt64: math.MaxInt64 - math.MaxInt64%60,
	} {
		if got := saba.Minute(at); got != want {
			t.Errorf("Minute(%d) = %d, want %d", at, got, want)
		}
	}
}

func TestAcceptable(t *testing.T) {
	now := time.Unix(1_767_225_600, 999)
	late, ahead := int64(saba.MaxLate/time.Second), int64(saba.MaxAhead/time.Second)
	for name, tt := range map[string]struct {
		sample saba.Sample
		want   saba.DropReason // "" when it is acceptable
	}{
		"now":                            {saba.Sample{Time: now.Unix(), Value: 1}, ""},
		"zero is a value":                {saba.Sample{Time: now.Unix()}, ""},
		"the largest value":              {saba.Sample{Time: now.Unix(), Value: -math.MaxFloat64}, ""},
		"as late as may be":              {saba.Sample{Time: now.Unix() - late}, ""},
		"a second later":                 {saba.Sample{Time: now.Unix() - late - 1}, saba.DropTooOld},
		"before 1970":                    {saba.Sample{Time: -1}, saba.DropTooOld},
		"the first second there is":      {saba.Sample{Time: math.MinInt64}, saba.DropTooOld},
		"as far ahead as may be":         {saba.Sample{Time: now.Unix() + ahead}, ""},
		"a second further":               {saba.Sample{Time: now.Unix() + ahead + 1}, saba.DropTooNew},
		"milliseconds, sent for seconds": {saba.Sample{Time: now.UnixMilli()}, saba.DropTooNew},
		"the last second there is":       {saba.Sample{Time: math.MaxInt64}, saba.DropTooNew},
		"not a number":                   {saba.Sample{Time: now.Unix(), Value: math.NaN()}, saba.DropNotFinite},
		"infinity":                       {saba.Sample{Time: now.Unix(), Value: math.Inf(1)}, saba.DropNotFinite},
		"minus infinity, long ago":       {saba.Sample{Time: 0, Value: math.Inf(-1)}, saba.DropNotFinite},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := tt.sample.Acceptable(now)
			if got != tt.want || ok != (tt.want == "") {
				t.Errorf("Acceptable(%+v) = %q, %t; want %q", tt.sample, got, ok, tt.want)
			}
		})
	}
}

func TestDropsTotal(t *testing.T) {
	if got := saba.Drops(nil).Total(); got != 0 {
		t.Errorf("no drops are %d, want 0", got)
	}
	if got := (saba.Drops{saba.DropTooOld: 2, saba.DropBadName: 3}).Total(); got != 5 {
		t.Errorf("2 and 3 drops are %d, want 5", got)
	}
}

func TestValidMetricName(t *testing.T) {
	for name, want := range map[string]bool{
		"loadavg5":                              true,
		"custom.gostats.heap-1._x":              true,
		"..":                                    true, // the protocol has no rule about segments here
		"":                                      false,
		"load avg":                              false,
		"load/avg":                              false,
		"custom.*":                              false,
		"tëst":                                  false,
		"name\n":                                false,
		"name\x00":                              false,
		strings.Repeat("x", saba.MaxMetricName): true,
		strings.Repeat("x", saba.MaxMetricName+1): false,
	} {
		if got := saba.ValidMetricName(name); got != want {
			t.Errorf("ValidMetricName(%.60q) = %t, want %t", name, got, want)
		}
	}
}
