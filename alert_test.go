package saba

import "testing"

func TestAlertSeriesIsWrittenAsPromQL(t *testing.T) {
	for want, s := range map[string]AlertSeries{
		"":                       {},
		"up":                     {Name: "up"},
		`up{a="x",b="\"y\""}`:    {Name: "up", Labels: map[string]string{"b": `"y"`, "a": "x"}},
		`{http.route="/orders"}`: {Labels: map[string]string{"http.route": "/orders"}},
	} {
		if got := s.String(); got != want {
			t.Errorf("%#v is written %s, want %s", s, got, want)
		}
	}
}

func TestLegendsAreFilled(t *testing.T) {
	s := AlertSeries{Name: "requests", Labels: map[string]string{"http.route": "/orders", "label.zone": "a", "zone": "b"}}
	for text, want := range map[string]string{
		"":                                  "",
		"errors":                            "errors",
		"errors of {{http.route}}!":         "errors of /orders!",
		"{{ http.route }}":                  "/orders",
		"{{label.http.route}}":              "/orders",
		"{{label.zone}} {{zone}}":           "a b",
		"{{__name__}} in {{region}}.":       "requests in .",
		"{{http.route":                      "{{http.route",
		"}} {{http.route}} {{zone}} {{zone": "}} /orders b {{zone",
	} {
		if got := s.Fill(text); got != want {
			t.Errorf("Fill(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestAMonitorIsNamedForItsSeries(t *testing.T) {
	s := AlertSeries{Labels: map[string]string{"zone": "b"}}
	for want, m := range map[string]Monitor{"{{zone}}": {Type: MonitorHost, Name: "{{zone}}"}, "b": {Type: MonitorQuery, Name: "{{zone}}"}} {
		if got := m.NameFor(s); got != want {
			t.Errorf("%s %q is called %q, want %q", m.Type, m.Name, got, want)
		}
	}
}
