package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// with returns a JSON object with one key set to a value, or without the key if the value is "".
func (r *rig) with(object, key, value string) string {
	r.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &members); err != nil {
		r.Fatal(err)
	}
	if members[key] = json.RawMessage(value); value == "" {
		delete(members, key)
	}
	b, err := json.Marshal(members)
	if err != nil {
		r.Fatal(err)
	}
	return string(b)
}

func TestEveryFieldIsChecked(t *testing.T) {
	r := newRig(t)
	_, host := furnish(r)
	long := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	const (
		hostMonitor  = `{"type":"host","name":"m","metric":"loadavg5","operator":">","warning":1,"critical":2,"duration":3}`
		service      = `{"type":"service","name":"m","service":"shop","metric":"orders","operator":"<","duration":1}`
		external     = `{"type":"external","name":"m","url":"https://example.com/"}`
		expression   = `{"type":"expression","name":"m","expression":"avg(role(shop:web, loadavg5))","operator":">","warning":1}`
		query        = `{"type":"query","name":"m","query":"a.b{c=\"d\"}","operator":">","warning":1}`
		anomaly      = `{"type":"anomalyDetection","name":"m","scopes":["shop:web"],"warningSensitivity":"normal"}`
		connectivity = `{"type":"connectivity"}`
		downtime     = `{"name":"d","start":1700000000,"duration":45}`
		setting      = `{"name":"s"}`
		email        = `{"type":"email","name":"c","emails":["a@example.com"],"events":["alert"]}`
		slack        = `{"type":"slack","name":"c","url":"https://example.com/x"}`
		discord      = `{"type":"discord","name":"c","url":"https://example.com/x"}`
		pager        = `{"type":"pagerduty","name":"c","token":"abc"}`
		telegram     = `{"type":"telegram","name":"c","token":"1:abc","to":"@ops"}`
		ntfy         = `{"type":"ntfy","name":"c","to":"ops"}`
		template     = `{"type":"template","name":"c","url":"https://example.com/x","template":"{{.Title}}"}`
		group        = `{"name":"g","notificationLevel":"all"}`
		dashboard    = `{"title":"t","memo":"","urlPath":"p","widgets":[]}`
		annotation   = `{"title":"a","from":1,"to":2,"service":"shop"}`
		invitation   = `{"email":"x@example.com","authority":"viewer"}`
		networks     = `{"cidrs":[]}`
		aws          = `{"name":"w"}`
	)
	widget := func(fields string) string {
		return `[{"title":"","layout":{"x":0,"y":0,"width":1,"height":1},` + fields + `}]`
	}
	for _, tt := range []struct{ path, base, key, value, saying string }{
		{"/monitors", hostMonitor, "type", ``, "type is required: one of host"},
		{"/monitors", hostMonitor, "type", `"check"`, `type must be one of host, connectivity, service`},
		{"/monitors", hostMonitor, "type", `5`, "type must be a string, not a number"},
		{"/monitors", hostMonitor, "name", ``, "name is required"},
		{"/monitors", hostMonitor, "name", `""`, "name is required"},
		{"/monitors", hostMonitor, "name", long(256), "name must be 255 characters or fewer, not 256"},
		{"/monitors", hostMonitor, "name", `"a\nb"`, "name must not hold the control character"},
		{"/monitors", hostMonitor, "memo", long(2049), "memo must be 2048 characters or fewer, not 2049"},
		{"/monitors", hostMonitor, "notificationInterval", `9`, "notificationInterval must be from 10"},
		{"/monitors", hostMonitor, "notificationInterval", `0`, "notificationInterval must be from 10"},
		{"/monitors", hostMonitor, "notificationInterval", `"10"`, "notificationInterval must be a whole number, not a string"},
		{"/monitors", hostMonitor, "notificationInterval", `10.5`, "notificationInterval must be a whole number, not a number 10.5"},
		{"/monitors", hostMonitor, "isMute", `1`, "isMute must be true or false"},
		{"/monitors", hostMonitor, "muteUntil", `-1`, "muteUntil must be from 0"},
		{"/monitors", hostMonitor, "muteUntil", `"1h"`, "muteUntil must be a whole number"},
		{"/monitors", hostMonitor, "scopes", `["no one"]`, "scopes[0] must be a service"},
		{"/monitors", hostMonitor, "scopes", `["shop","none"]`, `scopes[1] names the service "none"`},
		{"/monitors", hostMonitor, "scopes", `["shop: none"]`, `scopes[0] names the role "shop:none"`},
		{"/monitors", hostMonitor, "scopes", `"shop"`, "scopes must be an array, not a string"},
		{"/monitors", hostMonitor, "excludeScopes", `["none"]`, "excludeScopes[0] names"},
		{"/monitors", hostMonitor, "metric", ``, "metric is required"},
		{"/monitors", hostMonitor, "metric", `"a b"`, "metric must be a metric name"},
		{"/monitors", hostMonitor, "metric", `"load%"`, "metric must be a metric name"},
		{"/monitors", hostMonitor, "operator", ``, "operator is required: one of >, <"},
		{"/monitors", hostMonitor, "operator", `">="`, `operator must be one of >, <, not ">="`},
		{"/monitors", hostMonitor, "warning", `"80"`, "warning must be a number, not a string"},
		{"/monitors", hostMonitor, "critical", `1e999`, "critical must be a number"},
		{"/monitors", r.with(hostMonitor, "metric", `"cpu%"`), "warning", `101`, "warning must be from 0 to 100"},
		{"/monitors", r.with(hostMonitor, "metric", `"swap%"`), "critical", `-1`, "critical must be from 0 to 100"},
		{"/monitors", hostMonitor, "duration", ``, "duration must be from 1 to 10, not 0"},
		{"/monitors", hostMonitor, "duration", `11`, "duration must be from 1 to 10, not 11"},
		{"/monitors", hostMonitor, "maxCheckAttempts", `0`, "maxCheckAttempts must be from 1 to 10"},
		{"/monitors", hostMonitor, "maxCheckAttempts", `11`, "maxCheckAttempts must be from 1 to 10"},
		{"/monitors", connectivity, "goneAfter", `1`, "goneAfter must be from 2 to 10080"},
		{"/monitors", connectivity, "alertStatusOnGone", `"OK"`, "alertStatusOnGone must be one of CRITICAL, WARNING"},
		{"/monitors", service, "service", ``, "service is required"},
		{"/monitors", service, "service", `"none"`, `service names the service "none", which does not exist`},
		{"/monitors", service, "metric", `"cpu%"`, "metric must be a metric name"},
		{"/monitors", service, "missingDurationWarning", `15`, "missingDurationWarning must be a multiple of 10"},
		{"/monitors", service, "missingDurationCritical", `10090`, "missingDurationCritical must be a multiple of 10"},
		{"/monitors", external, "url", ``, "url is required"},
		{"/monitors", external, "url", `"ftp://example.com"`, "url must be an address"},
		{"/monitors", external, "url", `"https://"`, "url must be an address"},
		{"/monitors", external, "method", `"PATCH"`, "method must be one of GET, POST, PUT, DELETE"},
		{"/monitors", external, "responseTimeWarning", `100`, "service is required to watch the response time"},
		{"/monitors", r.with(external, "service", `"shop"`), "responseTimeCritical", `100`, "responseTimeDuration is required"},
		{"/monitors", external, "responseTimeDuration", `11`, "responseTimeDuration must be from 1 to 10"},
		{"/monitors", external, "certificationExpirationWarning", `-1`, "certificationExpirationWarning must be from 0"},
		{"/monitors", external, "expectedStatusCode", `99`, "expectedStatusCode must be from 100 to 599"},
		{"/monitors", external, "skipCertificateVerification", `"no"`, "skipCertificateVerification must be true or false"},
		{"/monitors", external, "headers", `[{"name":"A B","value":""}]`, "headers[0].name must be the name of an HTTP header"},
		{"/monitors", external, "headers", `[{"name":"` + strings.Repeat("A", 256) + `","value":""}]`, "headers[0].name must be the name of an HTTP header"},
		{"/monitors", external, "headers", `[{"name":"A","value":"a\r\nB: c"}]`, "headers[0].value must not hold the control character"},
		{"/monitors", external, "headers", `{"A":"b"}`, "headers must be an array"},
		{"/monitors", external, "dualstack", `"ipv5"`, `dualstack must be one of ipv4, ipv6, auto, not "ipv5"`},
		{"/monitors", expression, "expression", ``, "expression"},
		{"/monitors", expression, "expression", `"avg("`, "expression cannot be read"},
		{"/monitors", expression, "expression", `"role(shop:web, loadavg5)"`, "expression must yield one series"},
		{"/monitors", expression, "evaluateBackwardMinutes", `1`, "evaluateBackwardMinutes must be from 2 to 10"},
		{"/monitors", query, "query", `" "`, "query is required"},
		{"/monitors", query, "query", `"a{b"`, `query has a "{" that is not closed`},
		{"/monitors", query, "evaluateBackwardMinutes", `11`, "evaluateBackwardMinutes must be from 0 to 10"},
		{"/monitors", anomaly, "warningSensitivity", ``, "warningSensitivity or criticalSensitivity is required"},
		{"/monitors", anomaly, "criticalSensitivity", `"very"`, `criticalSensitivity must be one of insensitive, normal, sensitive, not "very"`},
		{"/monitors", anomaly, "scopes", `["shop"]`, "scopes[0] must be a role"},
		{"/monitors", anomaly, "trainingPeriodFrom", `1800000000`, "trainingPeriodFrom must be a time in the past"},

		{"/downtimes", downtime, "name", ``, "name is required"},
		{"/downtimes", downtime, "memo", long(8193), "memo must be 8192 characters or fewer"},
		{"/downtimes", downtime, "start", ``, "start is required"},
		{"/downtimes", downtime, "start", `"now"`, "start must be a whole number"},
		{"/downtimes", downtime, "duration", ``, "duration must be from 1"},
		{"/downtimes", downtime, "duration", `-1`, "duration must be from 1"},
		{"/downtimes", downtime, "timezone", `"Mars/Olympus"`, `timezone must be the name of a time zone such as Europe/Berlin or UTC, not "Mars/Olympus"`},
		{"/downtimes", downtime, "timezone", `2`, "timezone must be a string"},
		{"/downtimes", downtime, "recurrence", `{"type":"minutely","interval":1}`, "recurrence.type must be one of hourly"},
		{"/downtimes", downtime, "recurrence", `{"type":"daily"}`, "recurrence.interval must be from 1"},
		{"/downtimes", downtime, "recurrence", `{"type":"daily","interval":1,"weekdays":["Sunday"]}`, "recurrence.weekdays belongs to the type weekly"},
		{"/downtimes", downtime, "recurrence", `{"type":"weekly","interval":1,"weekdays":["Sun"]}`, "recurrence.weekdays[0] must be one of Sunday"},
		{"/downtimes", downtime, "recurrence", `{"type":"weekly","interval":1,"weekdays":["Sunday","Sunday"]}`, "recurrence.weekdays[1] names Sunday a second time"},
		{"/downtimes", downtime, "recurrence", `{"type":"daily","interval":1,"until":5}`, "recurrence.until must not be before start"},
		{"/downtimes", downtime, "serviceScopes", `["none"]`, "serviceScopes[0] names"},
		{"/downtimes", downtime, "serviceExcludeScopes", `["shop","shop"]`, "serviceExcludeScopes[1] names shop a second time"},
		{"/downtimes", downtime, "roleScopes", `["shop"]`, "roleScopes[0] must be a role"},
		{"/downtimes", downtime, "roleExcludeScopes", `["shop:none"]`, "roleExcludeScopes[0] names"},
		{"/downtimes", downtime, "monitorScopes", `["none"]`, "monitorScopes[0] names"},
		{"/downtimes", downtime, "monitorExcludeScopes", `[""]`, "monitorExcludeScopes[0] must be an id"},

		{"/alert-group-settings", setting, "name", ``, "name is required"},
		{"/alert-group-settings", setting, "memo", long(8193), "memo must be"},
		{"/alert-group-settings", setting, "serviceScopes", `["none"]`, "serviceScopes[0] names"},
		{"/alert-group-settings", setting, "roleScopes", `["shop: none"]`, "roleScopes[0] names"},
		{"/alert-group-settings", setting, "monitorScopes", `["none"]`, "monitorScopes[0] names"},
		{"/alert-group-settings", setting, "notificationInterval", `5`, "notificationInterval must be from 10"},

		{"/channels", email, "type", ``, "type is required"},
		{"/channels", email, "type", `"opsgenie"`, "type must be one of slack, email, webhook"},
		{"/channels", email, "type", `"pigeon"`, "type must be one of email"},
		{"/channels", email, "name", ``, "name is required"},
		{"/channels", email, "emails", `[]`, "emails or userIds must name somebody"},
		{"/channels", email, "emails", `["nobody"]`, "emails[0] must be an e-mail address"},
		{"/channels", email, "emails", `["A <a@example.com>"]`, "emails[0] must be an e-mail address"},
		{"/channels", email, "userIds", `["none"]`, "userIds[0] names the account"},
		{"/channels", email, "events", `["alert","birth"]`, "events[1] must be one of alert"},
		{"/channels", slack, "url", ``, "url is required"},
		{"/channels", slack, "url", `"javascript:x"`, "url must be an address"},
		{"/channels", slack, "mentions", `{"ok":5}`, "mentions.ok must be a string"},
		{"/channels", slack, "mentions", `{"Critical":"@a","unknown":"@b","crit":"@c"}`, `mentions may have the keys ok, warning, critical, not "crit", "unknown"`},
		{"/channels", slack, "enabledGraphImage", `"yes"`, "enabledGraphImage must be true or false"},
		{"/channels", discord, "url", ``, "url is required"},
		{"/channels", discord, "url", `"ftp://SECRET"`, "url must be an address of 2048 bytes or fewer that begins with http:// or https://"},
		{"/channels", discord, "mentions", `{"ok":` + long(1001) + `}`, "mentions.ok must be 1000 characters or fewer"},
		{"/channels", pager, "token", ``, "token is required"},
		{"/channels", pager, "token", `"a b"`, "token must be an integration key"},
		{"/channels", pager, "events", `["hostRetire"]`, "events[0] must be one of alert, not"},
		{"/channels", template, "template", ``, "template is required"},
		{"/channels", template, "template", `"{{json .Title"`, "template must be a template: line 1: unclosed action"},
		{"/channels", template, "template", `"\n{{call .Title}}"`, `template must be a template: line 2: function "call" not defined`},
		{"/channels", template, "template", long(16385), "template must be 16384 characters or fewer"},
		{"/channels", template, "contentType", `"text"`, "contentType must be a media type"},
		{"/channels", template, "contentType", `"text/plain\r\nA: b"`, "contentType must not hold the control character"},
		{"/channels", telegram, "to", `"a/b"`, "to must be the id of a chat"},
		{"/channels", telegram, "token", `"1:a/../b"`, "token must be the token of a bot"},
		{"/channels", telegram, "url", `"api.telegram.org"`, "url must be an address"},
		{"/channels", ntfy, "to", `"a/b"`, "to must be a topic"},
		{"/channels", ntfy, "token", `"a\u00e9"`, "token must be an access token"},

		{"/notification-groups", group, "name", ``, "name is required"},
		{"/notification-groups", group, "notificationLevel", `"some"`, "notificationLevel must be one of all, critical"},
		{"/notification-groups", group, "childNotificationGroupIds", `["none"]`, "childNotificationGroupIds[0] names"},
		{"/notification-groups", group, "childChannelIds", `["none"]`, "childChannelIds[0] names"},
		{"/notification-groups", group, "monitors", `[{"id":"none"}]`, "monitors[0] names"},
		{"/notification-groups", group, "monitors", `[{}]`, "monitors[0].id is required"},
		{"/notification-groups", group, "services", `[{"name":"none"}]`, "services[0] names"},

		{"/dashboards", dashboard, "title", ``, "title is required"},
		{"/dashboards", dashboard, "memo", long(8193), "memo must be"},
		{"/dashboards", dashboard, "urlPath", ``, "urlPath must be"},
		{"/dashboards", dashboard, "urlPath", `"/a"`, "urlPath must be"},
		{"/dashboards", dashboard, "urlPath", `"a b"`, "urlPath must be"},
		{"/dashboards", dashboard, "widgets", `{}`, "widgets must be an array"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"clock"`), "widgets[0].type must be one of graph"},
		{"/dashboards", dashboard, "widgets", `[{"type":"markdown","layout":{"x":-1}}]`, "widgets[0].layout.x must be from 0"},
		{"/dashboards", dashboard, "widgets", `[{"type":"markdown","layout":{"x":1.5}}]`, "widgets.layout.x must be a whole number"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph"`), "widgets[0].graph is required"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"unknown"}`), "widgets[0].graph.type must not be unknown"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"host","name":"cpu"}`), "widgets[0].graph.hostId is required"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"host","hostId":"none","name":"cpu"}`), "widgets[0].graph.hostId names the host none"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"host","hostId":"` + host + `"}`), "widgets[0].graph.name is required"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"role","roleFullname":"shop","name":"x"}`), "widgets[0].graph.roleFullname is required"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"role","roleFullname":"shop:none","name":"x"}`), "widgets[0].graph.roleFullname names the role"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"service","serviceName":"none","name":"x"}`), "widgets[0].graph.serviceName names the service"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"expression","expression":"x"}`), "widgets[0].graph.expression"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"query","query":""}`), "widgets[0].graph.query is required"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"expression","expression":"host(a,b)"},"range":{"type":"relative"}`), "widgets[0].range.period must be above 0"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"expression","expression":"host(a,b)"},"range":{"type":"absolute","start":2,"end":1}`), "widgets[0].range.end must not be before start"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"expression","expression":"host(a,b)"},"range":{"type":"some"}`), "widgets[0].range.type must be one of"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"expression","expression":"host(a,b)"},"valueRange":{"min":2,"max":1}`), "widgets[0].valueRange.max must not be below"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"expression","expression":"host(a,b)"},"referenceLines":[{"label":" ","value":1}]`), "widgets[0].referenceLines[0].label must not be blank"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"expression","expression":"host(a,b)"},"referenceLines":[{"label":"a","value":-1}]`), "widgets[0].referenceLines[0].value must not be below 0"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"graph","graph":{"type":"expression","expression":"host(a,b)"},"referenceLines":[{"label":"a","value":1},{"label":"b","value":1}]`), "widgets[0].referenceLines must hold 1 elements or fewer"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"value","metric":{"type":"role","roleFullname":"shop:web","name":"x"}`), "widgets[0].metric.type must be one of"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"value","metric":{"type":"expression","expression":"role(shop:web,x)"}`), "widgets[0].metric.expression must yield one series"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"value","metric":{"type":"host","hostId":"` + host + `","name":"m"},"fractionSize":17`), "widgets[0].fractionSize must be from 0 to 16"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"value","metric":{"type":"host","hostId":"` + host + `","name":"m"},"formatRules":[{"threshold":1,"operator":"="}]`), "widgets[0].formatRules[0].operator must be one of"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"markdown","markdown":5`), "markdown must be a string"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"alertStatus","roleFullname":"shop:none"`), "widgets[0].roleFullname names the role"},
		{"/dashboards", dashboard, "widgets", widget(`"type":"alertStatus","roleFullname":"shop"`), "widgets[0].roleFullname must be a role"},

		{"/graph-annotations", annotation, "title", ``, "title is required"},
		{"/graph-annotations", annotation, "title", long(251), "title must be 250 characters or fewer"},
		{"/graph-annotations", annotation, "description", long(1025), "description must be 1024 characters or fewer"},
		{"/graph-annotations", annotation, "from", ``, "from is required"},
		{"/graph-annotations", annotation, "to", ``, "to is required"},
		{"/graph-annotations", annotation, "from", `3`, "to must not be before from (3)"},
		{"/graph-annotations", annotation, "service", ``, "service is required"},
		{"/graph-annotations", annotation, "roles", `["a b"]`, "roles[0] must be the name of a role"},

		{"/invitations", invitation, "email", ``, "email must be"},
		{"/invitations", invitation, "email", `"guest@example.com"`, "invited already"},
		{"/invitations", invitation, "email", `"Owner@example.com"`, "account"},
		{"/invitations", invitation, "authority", `"owner"`, "authority must be one of manager"},
		{"/invitations/revoke", `{}`, "email", ``, "email is required"},
		{"/settings/ip-restriction/web", networks, "cidrs", ``, "cidrs is required"},
		{"/settings/ip-restriction/web", networks, "cidrs", `["10.0.0.1"]`, "cidrs[0] must be a network"},
		{"/settings/ip-restriction/api", networks, "cidrs", `["10.0.0.0/8"]`, "cidrs must hold the address that this request comes from (127.0.0.1)"},
		{"/aws-integrations", aws, "name", ``, "name is required"},
		{"/aws-integrations", aws, "name", `"furnished first"`, "already"},
		{"/aws-integrations", aws, "key", `5`, "key must be a string or null, not a number"},
		{"/aws-integrations", aws, "services", `{"Elsewhere":{"enable":true}}`, "services.Elsewhere is no service of AWS"},
		{"/aws-integrations", aws, "services", `{"EC2":{"enable":true,"role":"shop"}}`, "services.EC2.role must be a role"},
		{"/aws-integrations", aws, "services", `{"EC2":{"excludedMetrics":[],"includedMetrics":[]}}`, "services.EC2 must have excludedMetrics or includedMetrics"},
	} {
		r.refuseSaying(http.StatusBadRequest, tt.saying, http.MethodPost, tt.path, r.with(tt.base, tt.key, tt.value))
	}
	r.post("/dashboards", dashboard)
	for _, tt := range []struct {
		status                     int
		method, path, body, saying string
	}{
		{409, "POST", "/dashboards", dashboard, `urlPath "p" already`},
		{404, "POST", "/graph-annotations", r.with(annotation, "service", `"none"`), `no service "none"`},
		{404, "POST", "/graph-annotations", r.with(annotation, "roles", `["none"]`), `no role "none"`},
		{400, "GET", "/graph-annotations?from=1&to=2", "", "service is required"},
		{400, "GET", "/graph-annotations?service=shop&to=2", "", "from is required"},
		{400, "GET", "/graph-annotations?service=shop&from=1", "", "to is required"},
		{400, "GET", "/graph-annotations?service=shop&from=3&to=2", "", "to must not be before from"},
		{404, "GET", "/graph-annotations?service=none&from=1&to=2", "", `no service "none"`},
		{400, "GET", "/alerts?limit=101", "", "limit must be a number from 1 to 100"},
		{400, "GET", "/alerts?nextId=none", "", "nextId must be"},
		{400, "GET", "/alerts/alert1/logs?limit=0", "", "limit must be"},
		{404, "GET", "/alerts/none/logs", "", `no alert "none"`},
		{400, "POST", "/alerts/alert1/close", `{}`, "reason is required"},
		{400, "POST", "/alerts/alert1/close", `{"reason":5}`, "reason must be a string"},
		{413, "PUT", "/alerts/alert1", `{"memo":` + long(80<<10+1) + `}`, "memo must be 80 KiB or less"},
		{403, "DELETE", "/users/user1", "", "owns the organization"},
		{404, "DELETE", "/users/none", "", `no account "none"`},
		{404, "POST", "/invitations/revoke", `{"email":"none@example.com"}`, "no invitation"},
		{400, "DELETE", "/notification-groups/org1", "", "default notification group"},
		{400, "PUT", "/notification-groups/org1", `{"name":"mine","notificationLevel":"all"}`, `name of the default notification group is "Default"`},
		{400, "PUT", "/monitors/org1", hostMonitor, "type must stay connectivity"},
		{404, "PUT", "/monitors/none", hostMonitor, `no monitor "none"`},
		{404, "GET", "/traces/x", "", "saba keeps no traces"},
		{404, "POST", "/traces", "{}", "saba keeps no traces"},
	} {
		r.refuseSaying(tt.status, tt.saying, tt.method, tt.path, tt.body)
	}
	for _, path := range []string{"/monitors", "/downtimes", "/alert-group-settings", "/channels", "/notification-groups", "/dashboards", "/graph-annotations", "/invitations", "/aws-integrations"} {
		r.refuseSaying(400, "must be an object, not an array", "POST", path, `[]`)
		r.refuseSaying(400, "ends too early", "POST", path, `{"name":`)
		r.refuse(400, "POST", path, `null`)
		if path != "/invitations" {
			r.refuseSaying(404, "none", "DELETE", path+"/none", "")
		}
	}
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("clients' mistakes are logged as ours:\n%s", r.log)
	}
}

// A field of the wrong type is named as it was sent, also one that new channels and old ones have in common.
func TestAFieldIsNamedAsItWasSent(t *testing.T) {
	for body, want := range map[string]string{
		`{"url":5}`:                           "url must be a string, not a number",
		`{"mentions":{"ok":5}}`:               "mentions.ok must be a string, not a number",
		`{"addToDefaultNotificationGroup":5}`: "addToDefaultNotificationGroup must be true or false, not a number",
	} {
		var in newChannelIn
		if got := badJSON([]byte(body), withoutEmbedded(json.Unmarshal([]byte(body), &in), &in)).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("of %s it says %q, want %q", body, got, want)
		}
	}
}
