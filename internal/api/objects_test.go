package api

import (
	"encoding/json"
	"strings"

	"github.com/saba-monitor/saba"
)

// objectBodies returns a body for each noun whose objects people set up, by the path of its list. Each names the
// service, role or host of a furnished rig.
func objectBodies(host string) map[string]string {
	return map[string]string{
		"/monitors":             `{"type":"host","name":"furnished","metric":"cpu%","operator":">","warning":80,"critical":null,"duration":3,"scopes":["shop:web"]}`,
		"/downtimes":            `{"name":"furnished","start":1700000000,"duration":45,"roleScopes":["shop:web"]}`,
		"/alerts":               `{"memo":"m","reason":"","userId":"","until":0}`,
		"/alert-group-settings": `{"name":"furnished","serviceScopes":["shop"]}`,
		"/channels":             `{"type":"email","name":"furnished","emails":["a@example.com"],"userIds":["user1"],"events":["alert"],"addToDefaultNotificationGroup":true}`,
		"/notification-groups":  `{"name":"furnished","notificationLevel":"all","childNotificationGroupIds":[],"childChannelIds":[],"services":[{"name":"shop"}]}`,
		"/dashboards": `{"title":"furnished","memo":"","urlPath":"furnished","widgets":[{"type":"graph","title":"g","metric":null,"range":null,
			"graph":{"type":"host","hostId":"` + host + `","name":"loadavg"},"layout":{"x":0,"y":0,"width":6,"height":6}}]}`,
		"/graph-annotations":           `{"title":"furnished","from":1700000000,"to":1700000060,"service":"shop","roles":["web"]}`,
		"/invitations":                 `{"email":"new@example.com","authority":"viewer"}`,
		"/settings/ip-restriction/web": `{"cidrs":["127.0.0.0/8"]}`,
		"/settings/ip-restriction/api": `{"cidrs":["127.0.0.0/8","::1/128"]}`,
		"/aws-integrations":            `{"name":"furnished","memo":"","key":"k","secretKey":"s","region":"","services":{"EC2":{"enable":true,"role":"shop: web","excludedMetrics":[]}}}`,
		"/drains":                      `{"name":"furnished","service":"shop"}`,
		"/traces":                      `{"serviceName":"shop","from":1,"to":2}`,
	}
}

// create makes an object and returns its id.
func (r *rig) create(path, body string) string {
	r.Helper()
	var out struct{ ID string }
	if err := json.Unmarshal([]byte(r.post(path, body)), &out); err != nil || out.ID == "" {
		r.Fatalf("create %s %s: no id (%v)", path, body, err)
	}
	return out.ID
}

// objects gives a rig one object of each noun besides those of furnish, and returns how their ids are filled in.
func (r *rig) objects(host string) *strings.Replacer {
	r.Helper()
	r.member("user1", "owner@example.com", "owner")
	r.member("user2", "member@example.com", "viewer")
	bodies := objectBodies(host)
	pairs := []string{}
	for placeholder, path := range map[string]string{
		"{monitor}": "/monitors", "{downtime}": "/downtimes", "{alertGroup}": "/alert-group-settings", "{channel}": "/channels",
		"{group}": "/notification-groups", "{dashboard}": "/dashboards", "{annotation}": "/graph-annotations", "{aws}": "/aws-integrations", "{drain}": "/drains",
	} {
		pairs = append(pairs, placeholder, r.create(path, strings.NewReplacer(`"name":"furnished"`, `"name":"furnished first"`, `"urlPath":"furnished"`, `"urlPath":"furnished/first"`).Replace(bodies[path])))
	}
	r.post("/invitations", `{"email":"guest@example.com","authority":"viewer"}`)
	r.check(r.store.OpenAlert(r.Context(), "org1", saba.Alert{
		ID: "alert1", Status: saba.CheckCritical, Monitor: "m1", Type: "host", Host: host, Value: new(1.5), OpenedAt: start,
	}, nil))
	return strings.NewReplacer(append(pairs, "{alert}", "alert1", "{user}", "user2", "{trace}", strings.Repeat("a", 32))...)
}

// member makes an account. No call of the API does.
func (r *rig) member(id, email, authority string) {
	r.Helper()
	r.raw(`INSERT INTO users (id, org, email, email_fold, password_hash, created_at, authority) VALUES (?, 'org1', ?, ?, '', ?, ?)`,
		id, email, email, start, authority)
}

// unserved says whether a route is there to say that saba does not have that part of the protocol.
func unserved(r route) bool {
	return strings.HasPrefix(r.path, "/traces") || strings.HasPrefix(r.path, "/apm")
}
