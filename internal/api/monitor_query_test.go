package api

import (
	"net/http"
	"testing"

	"github.com/saba-monitor/saba"
)

// The query of a monitor is read by who knows the language, when it is made and when it is changed; nothing else is asked of it.
func TestTheQueryOfAMonitorIsRead(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.CheckQuery = func(query string) error {
			if query != "good" {
				return saba.Invalidf("query", "cannot be read, at line 1, column 2")
			}
			return nil
		}
	})
	body := func(kind, query string) string {
		return `{"type":"` + kind + `","name":"m","` + kind + `":"` + query + `","operator":">","warning":1}`
	}
	const says = "query cannot be read, at line 1, column 2"
	r.refuseSaying(http.StatusBadRequest, says, "POST", "/monitors", body("query", "bad"))
	r.refuseSaying(http.StatusBadRequest, "query is required", "POST", "/monitors", body("query", " "))
	id := r.create("/monitors", body("query", "good"))
	r.refuseSaying(http.StatusBadRequest, says, "PUT", "/monitors/"+id, body("query", "bad"))
	r.put("/monitors/"+id, body("query", "good"))
	r.create("/monitors", body("expression", "avg(role(shop:web, loadavg5))"))
}
