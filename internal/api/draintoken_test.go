package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestADrainTakesTheTokenThatHerokuMade(t *testing.T) {
	r := newRig(t)
	r.register(`{"name":"web1","meta":{},"roleFullnames":["shop:web"]}`)
	first, second := r.create("/drains", `{"name":"one","service":"shop"}`), r.create("/drains", `{"name":"two","service":"shop"}`)
	const token = "d.8f0e2c4a-1b2c-4d3e-8f9a-0b1c2d3e4f5a"
	r.put("/drains/"+first+"/token", `{"token":"`+token+`"}`)
	if _, d, err := r.store.DrainByHash(t.Context(), saba.HashSecret(token)); err != nil || d.ID != first {
		t.Errorf("the token opens %q, %v; want the first drain", d.ID, err)
	}
	r.put("/drains/"+first+"/token", `{"token":"`+token+`"}`) // once more changes nothing
	for name, tt := range map[string]struct {
		path, body string
		status     int
		saying     string
	}{
		"of another drain":      {second, `{"token":"` + token + `"}`, 400, "opens another drain"},
		"chosen by a person":    {second, `{"token":"saba_easy"}`, 400, "heroku drains"},
		"upper case":            {second, `{"token":"` + strings.ToUpper(token) + `"}`, 400, "heroku drains"},
		"none":                  {second, `{}`, 400, "heroku drains"},
		"a drain that is not":   {"nothing", `{"token":"d.00000000-0000-4000-8000-000000000000"}`, 404, "nothing"},
		"something else inside": {second, `{"token":"d.8f0e2c4a-1b2c-4d3e-8f9a-0b1c2d3e4f5a\n"}`, 400, "heroku drains"},
	} {
		if a := r.send(http.MethodPut, "/drains/"+tt.path+"/token", keyBoth, tt.body); a.status != tt.status || !strings.Contains(a.body, tt.saying) {
			t.Errorf("%s: %d %s, want %d saying %q", name, a.status, a.body, tt.status, tt.saying)
		}
	}
}
