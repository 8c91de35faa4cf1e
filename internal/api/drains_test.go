package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestDrainRules(t *testing.T) {
	r := newRig(t)
	r.register(`{"name":"web1","meta":{},"roleFullnames":["shop:web"]}`)
	const rule = `{"name":"requests","type":"timing","match":"status=(?P<status>\\d+) ms=(?P<ms>\\d+)","metric":"http.${status}","value":"ms","proc":"web.*"}`
	id := r.create("/drains", `{"name":"app","service":"shop","rules":[`+rule+`]}`)
	if got := r.get("/drains/" + id); !strings.Contains(got, rule) {
		t.Errorf("the drain is %s, want its rule in it", got)
	}
	if a := r.send(http.MethodPut, "/drains/"+id, keyBoth, `{"name":"app","service":"shop","rules":[`+rule+`,{"name":"x","type":"gauge","match":"a(","metric":"a"}]}`); a.status != 400 || !strings.Contains(a.body, "rules[1].match") {
		t.Errorf("a rule that is not right: %d %s, want 400 and its place", a.status, a.body)
	}
	if got := r.get("/drains/" + id); !strings.Contains(got, rule) {
		t.Errorf("the drain is %s after a change that was refused", got)
	}
	r.put("/drains/"+id, `{"name":"app","service":"shop"}`)
	if got := r.get("/drains/" + id); strings.Contains(got, "rules") {
		t.Errorf("the drain is %s, want no rules any more", got)
	}
}

func TestDrainTry(t *testing.T) {
	r := newRig(t)
	var out drainTryOut
	if err := json.Unmarshal([]byte(r.post("/drains/try", `{"drain":{"prefix":"shop","rules":[{"name":"requests","type":"timing","key":"ms","metric":"http.${status}"}]},
		"lines":["status=200 ms=12 sample#queue=x","2020-01-02T03:04:05+00:00 heroku[router]: at=info status=200","nothing"]}`)), &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Lines) != 3 {
		t.Fatalf("%d lines came back of 3: %+v", len(out.Lines), out)
	}
	first := out.Lines[0]
	if len(first.Metrics) != 1 || first.Metrics[0].Rule != "requests" || first.Metrics[0].Value != 12 || first.Metrics[0].Unit != "milliseconds" || !slices.Contains(first.Metrics[0].Names, "shop.http.200.p95") ||
		len(first.Refused) != 1 || first.Refused[0].Reason != "not a number" {
		t.Errorf("the first line became %+v, want one timing of the rule and a refused sample", first)
	}
	if l := out.Lines[1]; l.Source != "Heroku router" || l.Text != "at=info status=200" || len(l.Metrics) == 0 {
		t.Errorf("a line of the router became %+v", l)
	}
	if l := out.Lines[2]; len(l.Metrics)+len(l.Refused) > 0 {
		t.Errorf("a line that says nothing became %+v", l)
	}
	if got := r.get("/drains"); got != `{"drains":[]}` {
		t.Errorf("trying lines kept a drain: %s", got)
	}
	for body, want := range map[string]string{
		`{"drain":{"rules":[{"name":"x"}]},"lines":[]}`:                 "rules[0].type",
		`{"drain":{},"lines":["` + strings.Repeat("a", 300<<10) + `"]}`: "256 KiB in all",
		`{"drain":{},"lines":[` + strings.Repeat(`"",`, 1000) + `""]}`:  "1000 elements",
		`{"drain":{},"lines":[1]}`:                                      "lines",
	} {
		if a := r.send(http.MethodPost, "/drains/try", keyBoth, body); a.status != 400 || !strings.Contains(a.body, want) {
			t.Errorf("%.60s: %d %s, want 400 that names %s", body, a.status, a.body, want)
		}
	}
	if a := r.send(http.MethodPost, "/drains/try", keyRead, `{"drain":{},"lines":[]}`); a.status != 403 {
		t.Errorf("a key that may read only: %d %s", a.status, a.body)
	}
}
