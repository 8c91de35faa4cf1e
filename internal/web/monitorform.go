package web

import (
	"slices"

	"github.com/saba-monitor/saba"
)

// A monitorKind is what a type of monitors is to people.
type monitorKind struct {
	Type  saba.MonitorType
	Label string
	About string
}

// monitorKinds lists the types in the order of saba.MonitorTypes.
var monitorKinds = []monitorKind{
	{saba.MonitorHost, "Host metric", "A metric of every host in its scopes, or a share such as cpu%, against thresholds."},
	{saba.MonitorConnectivity, "Connectivity", "Whether a host still sends its metrics: silence for 10 minutes, or as long as you say, is an alert."},
	{saba.MonitorService, "Service metric", "A metric of a service against thresholds, and whether it keeps arriving."},
	{saba.MonitorExternal, "External HTTP", "A web address, asked by saba every minute: its status, time, certificate and text."},
	{saba.MonitorExpression, "Expression", "A value computed of several metrics, such as the sum over a role or a ratio."},
	{saba.MonitorAnomaly, "Anomaly detection", "Whether the hosts of a role are as they usually are at that time of the week, without thresholds."},
	{saba.MonitorQuery, "Query", "PromQL over metrics with labels; every series that it yields is judged by itself."},
}

// kindOf returns what is known of a type; ok is false for none.
func kindOf(t saba.MonitorType) (k monitorKind, ok bool) {
	i := slices.IndexFunc(monitorKinds, func(k monitorKind) bool { return k.Type == t })
	if i < 0 {
		return monitorKind{Type: t, Label: string(t)}, false
	}
	return monitorKinds[i], true
}

// ofType says whether a monitor is of one of some types.
func ofType(types ...saba.MonitorType) func(*saba.Monitor) bool {
	return func(m *saba.Monitor) bool { return slices.Contains(types, m.Type) }
}

// The headings of a monitor's form.
const (
	partWhat    = "What is watched"
	partWhen    = "When it is wrong"
	partRequest = "The request"
	partWhere   = "Which hosts"
	partTold    = "Being told"
)

var sensitivities = []choice{{Value: "", Label: "never"}, {Value: "insensitive", Label: "insensitive: beyond 10 deviations"}, {Value: "normal", Label: "normal: beyond 6"}, {Value: "sensitive", Label: "sensitive: beyond 4"}}

// monitorFields declares the fields of every type of monitor: what there is to say about a monitor stands here once.
var monitorFields = []field[saba.Monitor]{
	{name: "name", label: "Name", part: partWhat, input: inputLine, required: true, hint: "What alerts call it", of: func(m *saba.Monitor) any { return &m.Name }},
	{name: "metric", label: "Metric", part: partWhat, input: inputLine, from: "metrics", required: true, only: ofType(saba.MonitorHost), hint: "cpu%",
		help: "A name as graphs and plugins have it, or a share in per cent: cpu% memory% disk% swap% container-cpu% container-memory%.",
		of:   func(m *saba.Monitor) any { return &m.Metric }},
	{name: "service", label: "Service", part: partWhat, input: inputOneOf, from: "services", choices: []choice{{Label: "Choose a service"}}, required: true, only: ofType(saba.MonitorService),
		of: func(m *saba.Monitor) any { return &m.Service }},
	{name: "metric", label: "Metric", part: partWhat, input: inputLine, from: "metrics", required: true, only: ofType(saba.MonitorService), hint: "orders.count",
		help: "A metric of the service.", of: func(m *saba.Monitor) any { return &m.Metric }},
	{name: "url", label: "Address", part: partWhat, input: inputLine, required: true, only: ofType(saba.MonitorExternal), hint: "https://shop.example.com/health",
		help: "It begins with http:// or https://. A password in it is not shown again.", of: func(m *saba.Monitor) any { return &m.URL }},
	{name: "service", label: "Service", part: partWhat, input: inputOneOf, from: "services", choices: []choice{{Label: "none"}}, only: ofType(saba.MonitorExternal),
		help: "The response time becomes a metric of this service. Thresholds of it need one. Another service closes the open alert.", of: func(m *saba.Monitor) any { return &m.Service }},
	{name: "expression", label: "Expression", part: partWhat, input: inputCode, required: true, only: ofType(saba.MonitorExpression), hint: "avg(role(shop:web, loadavg5))",
		help: "It yields one series: avg, max, min, sum, product or percentile stand around what may yield several.", of: func(m *saba.Monitor) any { return &m.Expression }},
	{name: "query", label: "Query", part: partWhat, input: inputCode, required: true, only: ofType(saba.MonitorQuery), hint: `sum by (route) (increase(http_requests_total{code="500"}[5m]))`,
		help: "PromQL. Each series that it yields is judged, and has its own alert.", of: func(m *saba.Monitor) any { return &m.Query }},
	{name: "legend", label: "Name of a series", part: partWhat, input: inputLine, only: ofType(saba.MonitorQuery), hint: "{{route}}",
		help: "What alerts call a series. {{label}} is replaced by the label's value.", of: func(m *saba.Monitor) any { return &m.Legend }},

	{name: "alertStatusOnGone", label: "A silent host is", part: partWhen, input: inputOneOf, only: ofType(saba.MonitorConnectivity),
		choices: []choice{{Value: string(saba.CheckCritical), Label: "critical"}, {Value: string(saba.CheckWarning), Label: "a warning"}}, of: func(m *saba.Monitor) any { return &m.AlertStatusOnGone }},
	{name: "goneAfter", label: "After a silence of", part: partWhen, input: inputWhole, unit: "minutes", least: "2", most: "10080", hint: "10", only: ofType(saba.MonitorConnectivity),
		of: func(m *saba.Monitor) any { return &m.GoneAfter }},
	{name: "operator", label: "Wrong is what is", part: partWhen, input: inputOneOf, only: ofType(saba.MonitorHost, saba.MonitorService, saba.MonitorExpression, saba.MonitorQuery),
		choices: []choice{{Value: ">", Label: "above the threshold ( > )"}, {Value: "<", Label: "below the threshold ( < )"}}, of: func(m *saba.Monitor) any { return &m.Operator }},
	{name: "warning", label: "Warning", part: partWhen, input: inputNumber, only: ofType(saba.MonitorHost, saba.MonitorService, saba.MonitorExpression, saba.MonitorQuery), hint: "never",
		of: func(m *saba.Monitor) any { return &m.Warning }},
	{name: "critical", label: "Critical", part: partWhen, input: inputNumber, only: ofType(saba.MonitorHost, saba.MonitorService, saba.MonitorExpression, saba.MonitorQuery), hint: "never",
		of: func(m *saba.Monitor) any { return &m.Critical }},
	{name: "duration", label: "Mean of", part: partWhen, input: inputWhole, unit: "points", least: "1", most: "10", required: true, only: ofType(saba.MonitorHost, saba.MonitorService),
		help: "The newest points; their mean is compared. 1 compares each point.", of: func(m *saba.Monitor) any { return &m.Duration }},
	{name: "responseTimeWarning", label: "Response time, warning", part: partWhen, input: inputNumber, unit: "ms", least: "0", only: ofType(saba.MonitorExternal), hint: "never",
		of: func(m *saba.Monitor) any { return &m.ResponseTimeWarning }},
	{name: "responseTimeCritical", label: "Response time, critical", part: partWhen, input: inputNumber, unit: "ms", least: "0", only: ofType(saba.MonitorExternal), hint: "never",
		of: func(m *saba.Monitor) any { return &m.ResponseTimeCritical }},
	{name: "responseTimeDuration", label: "Response time, mean of", part: partWhen, input: inputWhole, unit: "points", least: "1", most: "10", only: ofType(saba.MonitorExternal),
		of: func(m *saba.Monitor) any { return &m.ResponseTimeDuration }},
	{name: "expectedStatusCode", label: "Status", part: partWhen, input: inputWhole, least: "100", most: "599", only: ofType(saba.MonitorExternal), hint: "any 2xx or 3xx",
		help: "What the address has to answer.", of: func(m *saba.Monitor) any { return &m.ExpectedStatusCode }},
	{name: "containsString", label: "Text in the body", part: partWhen, input: inputLine, only: ofType(saba.MonitorExternal), of: func(m *saba.Monitor) any { return &m.ContainsString }},
	{name: "certificationExpirationWarning", label: "Certificate ends within, warning", part: partWhen, input: inputWhole, unit: "days", least: "0", only: ofType(saba.MonitorExternal), hint: "never",
		of: func(m *saba.Monitor) any { return &m.CertificationExpirationWarning }},
	{name: "certificationExpirationCritical", label: "Certificate ends within, critical", part: partWhen, input: inputWhole, unit: "days", least: "0", only: ofType(saba.MonitorExternal), hint: "never",
		of: func(m *saba.Monitor) any { return &m.CertificationExpirationCritical }},
	{name: "warningSensitivity", label: "Warning", part: partWhen, input: inputOneOf, choices: sensitivities, only: ofType(saba.MonitorAnomaly), of: func(m *saba.Monitor) any { return &m.WarningSensitivity }},
	{name: "criticalSensitivity", label: "Critical", part: partWhen, input: inputOneOf, choices: sensitivities, only: ofType(saba.MonitorAnomaly), of: func(m *saba.Monitor) any { return &m.CriticalSensitivity }},
	{name: "trainingPeriodFrom", label: "Learn from", part: partWhen, input: inputWhen, only: ofType(saba.MonitorAnomaly),
		help: "What was before does not count as usual. Empty is the last four weeks. Changing it closes open alerts, and what is usual is learned anew.", of: func(m *saba.Monitor) any { return &m.TrainingPeriodFrom }},
	{name: "missingDurationWarning", label: "No point for, warning", part: partWhen, input: inputWhole, unit: "minutes", least: "10", most: "10080", only: ofType(saba.MonitorService), hint: "never",
		of: func(m *saba.Monitor) any { return &m.MissingDurationWarning }},
	{name: "missingDurationCritical", label: "No point for, critical", part: partWhen, input: inputWhole, unit: "minutes", least: "10", most: "10080", only: ofType(saba.MonitorService), hint: "never",
		help: "A multiple of 10. A metric that stops is wrong only if it is said here: silence is not zero.", of: func(m *saba.Monitor) any { return &m.MissingDurationCritical }},
	{name: "maxCheckAttempts", label: "In a row", part: partWhen, input: inputWhole, unit: "times", least: "1", most: "10", required: true,
		only: ofType(saba.MonitorHost, saba.MonitorService, saba.MonitorExternal, saba.MonitorAnomaly),
		help: "So often it has to be wrong before an alert opens.", of: func(m *saba.Monitor) any { return &m.MaxCheckAttempts }},
	{name: "evaluateBackwardMinutes", label: "Judge the value of", part: partWhen, input: inputWhole, unit: "minutes ago", least: "2", most: "10", only: ofType(saba.MonitorExpression),
		help: "Time for all metrics of a minute to arrive.", of: func(m *saba.Monitor) any { return &m.EvaluateBackwardMinutes }},
	{name: "evaluateBackwardMinutes", label: "Judge the value of", part: partWhen, input: inputWhole, unit: "minutes ago", least: "0", most: "10", only: ofType(saba.MonitorQuery),
		help: "Time for all metrics of a minute to arrive.", of: func(m *saba.Monitor) any { return &m.EvaluateBackwardMinutes }},

	{name: "method", label: "Method", part: partRequest, input: inputOneOf, only: ofType(saba.MonitorExternal),
		choices: []choice{{Value: "GET", Label: "GET"}, {Value: "POST", Label: "POST"}, {Value: "PUT", Label: "PUT"}, {Value: "DELETE", Label: "DELETE"}}, of: func(m *saba.Monitor) any { return &m.Method }},
	{name: "headers", label: "Headers", noun: "This header", part: partRequest, input: inputHeaders, only: ofType(saba.MonitorExternal),
		help: "A value that was saved is not shown again, unless it is harmless: leave it empty to keep it. A row without a name is taken away.", of: func(m *saba.Monitor) any { return &m.Headers }},
	{name: "requestBody", label: "Body", part: partRequest, input: inputCode, only: ofType(saba.MonitorExternal), of: func(m *saba.Monitor) any { return &m.RequestBody }},
	{name: "dualstack", label: "Network", part: partRequest, input: inputOneOf, only: ofType(saba.MonitorExternal),
		choices: []choice{{Value: "", Label: "as saba's machine prefers"}, {Value: "auto", Label: "IPv6 or IPv4, what answers first"}, {Value: "ipv4", Label: "IPv4 only"}, {Value: "ipv6", Label: "IPv6 only"}},
		of:      func(m *saba.Monitor) any { return &m.Dualstack }},
	{name: "followRedirect", label: "Follow redirects", part: partRequest, input: inputTick, only: ofType(saba.MonitorExternal), of: func(m *saba.Monitor) any { return &m.FollowRedirect }},
	{name: "skipCertificateVerification", label: "Accept any certificate", part: partRequest, input: inputTick, only: ofType(saba.MonitorExternal),
		of: func(m *saba.Monitor) any { return &m.SkipCertificateVerification }},

	{name: "scopes", label: "Only hosts in", noun: "The choice", part: partWhere, input: inputPicks, from: "scopes", only: ofType(saba.MonitorHost, saba.MonitorConnectivity), help: "Nothing chosen means all hosts.",
		of: func(m *saba.Monitor) any { return &m.Scopes }},
	{name: "excludeScopes", label: "But not hosts in", noun: "The choice", part: partWhere, input: inputPicks, from: "scopes", only: ofType(saba.MonitorHost, saba.MonitorConnectivity),
		of: func(m *saba.Monitor) any { return &m.ExcludeScopes }},
	{name: "scopes", label: "Roles", noun: "The choice", part: partWhere, input: inputPicks, from: "roles", only: ofType(saba.MonitorAnomaly), help: "A host is compared with what has been usual in its role, and for itself. Nothing chosen means all hosts.",
		of: func(m *saba.Monitor) any { return &m.Scopes }},

	{name: "notificationInterval", label: "Tell again every", part: partTold, input: inputWhole, unit: "minutes", least: "10", most: "525600", hint: "never",
		help: "While an alert stays open. Empty tells once.", of: func(m *saba.Monitor) any { return &m.NotificationInterval }},
	{name: "isMute", label: "Muted: alerts open and close, and nobody is told", part: partTold, input: inputTick, of: func(m *saba.Monitor) any { return &m.Mute }},
	{name: "memo", label: "Memo", part: partTold, input: inputText, hint: "What to do when this alerts", of: func(m *saba.Monitor) any { return &m.Memo }},
}

// newMonitor returns a monitor with which the form of a type begins.
func newMonitor(t saba.MonitorType) saba.Monitor {
	m := saba.Monitor{Type: t}
	switch t {
	case saba.MonitorHost, saba.MonitorService:
		m.Operator, m.Duration = ">", 3
	case saba.MonitorExpression, saba.MonitorQuery:
		m.Operator = ">"
	case saba.MonitorExternal:
		m.CertificationExpirationWarning, m.CertificationExpirationCritical = new(int64(21)), new(int64(7))
	case saba.MonitorAnomaly:
		m.WarningSensitivity = "normal"
	}
	m.Default()
	return m
}
