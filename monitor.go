package saba

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A MonitorType says what a monitor looks at.
type MonitorType string

// The types of monitors.
const (
	MonitorHost         MonitorType = "host"             // a metric of each host in its scopes
	MonitorConnectivity MonitorType = "connectivity"     // whether a host still posts
	MonitorService      MonitorType = "service"          // a metric of a service
	MonitorExternal     MonitorType = "external"         // an HTTP endpoint
	MonitorExpression   MonitorType = "expression"       // a value computed of several metrics
	MonitorAnomaly      MonitorType = "anomalyDetection" // whether hosts of a role behave as usual
	MonitorQuery        MonitorType = "query"            // a query of labelled metrics
)

// MonitorTypes lists every type, in the order in which monitors are listed: clients of the protocol
// stop reading at the first type that they do not know, so newer ones come last.
var MonitorTypes = []MonitorType{
	MonitorHost, MonitorConnectivity, MonitorService, MonitorExternal, MonitorExpression, MonitorAnomaly, MonitorQuery,
}

// A Monitor is a rule. Type says which of the fields below the common ones it has; the others are
// zero. The JSON keys are the protocol's, and part of the schema in which monitors are kept.
type Monitor struct {
	ID                   string      `json:"id"`
	Type                 MonitorType `json:"type"`
	Name                 string      `json:"name"`
	Memo                 string      `json:"memo,omitzero"`
	NotificationInterval *int64      `json:"notificationInterval,omitzero"` // minutes until an open alert is told again; nil means never
	Mute                 bool        `json:"isMute"`                        // alerts open and close, nobody is told
	MuteUntil            int64       `json:"muteUntil,omitzero"`            // the same up to then (Unix seconds), whatever Mute is; 0 means not. saba's own

	// host, connectivity, anomalyDetection. No scopes means all hosts.
	Scopes        []Scope `json:"scopes,omitzero"`
	ExcludeScopes []Scope `json:"excludeScopes,omitzero"`

	// host, service; operator and thresholds also of expression and query.
	Metric           string   `json:"metric,omitzero"`   // a name, or one of RateMetrics
	Operator         string   `json:"operator,omitzero"` // ">" or "<": value operator threshold, strictly
	Warning          *float64 `json:"warning,omitzero"`
	Critical         *float64 `json:"critical,omitzero"`
	Duration         int64    `json:"duration,omitzero"`         // points whose mean is compared
	MaxCheckAttempts int64    `json:"maxCheckAttempts,omitzero"` // consecutive bad judgements before an alert opens

	// connectivity
	AlertStatusOnGone CheckStatus `json:"alertStatusOnGone,omitzero"` // CRITICAL or WARNING
	GoneAfter         int64       `json:"goneAfter,omitzero"`         // minutes of silence; 0 means UsualGoneAfter. saba's own

	// service, external: whose metric it is, or whose the response time becomes.
	Service                 string `json:"service,omitzero"`
	MissingDurationWarning  *int64 `json:"missingDurationWarning,omitzero"` // minutes without a point
	MissingDurationCritical *int64 `json:"missingDurationCritical,omitzero"`

	// external
	URL                             string       `json:"url,omitzero"`
	Method                          string       `json:"method,omitzero"`
	ResponseTimeWarning             *float64     `json:"responseTimeWarning,omitzero"` // milliseconds
	ResponseTimeCritical            *float64     `json:"responseTimeCritical,omitzero"`
	ResponseTimeDuration            *int64       `json:"responseTimeDuration,omitzero"` // points whose mean is compared
	ContainsString                  string       `json:"containsString,omitzero"`
	CertificationExpirationWarning  *int64       `json:"certificationExpirationWarning,omitzero"` // days
	CertificationExpirationCritical *int64       `json:"certificationExpirationCritical,omitzero"`
	SkipCertificateVerification     bool         `json:"skipCertificateVerification,omitzero"`
	ExpectedStatusCode              *int64       `json:"expectedStatusCode,omitzero"` // nil means any 2xx or 3xx
	Headers                         []HTTPHeader `json:"headers,omitzero"`
	RequestBody                     string       `json:"requestBody,omitzero"`
	FollowRedirect                  bool         `json:"followRedirect,omitzero"`
	Dualstack                       string       `json:"dualstack,omitzero"` // ipv4, ipv6 or auto

	// expression, query
	Expression              string `json:"expression,omitzero"`
	Query                   string `json:"query,omitzero"`
	Legend                  string `json:"legend,omitzero"`                  // may hold {{label}}
	EvaluateBackwardMinutes *int64 `json:"evaluateBackwardMinutes,omitzero"` // how far before now the value is taken

	// anomalyDetection
	WarningSensitivity  string `json:"warningSensitivity,omitzero"`
	CriticalSensitivity string `json:"criticalSensitivity,omitzero"`
	TrainingPeriodFrom  int64  `json:"trainingPeriodFrom,omitzero"` // Unix seconds; 0 means as far back as there are samples
}

// An HTTPHeader is a header of an external monitor's request. Its value may be a secret.
type HTTPHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ResponseTimeMetric begins the name of the metric that the response times of an external monitor become, in milliseconds; its id ends it.
const ResponseTimeMetric = "__externalhttp.responsetime."

// ResponseTimeGraph returns the graph of response times, in which each is called as its monitor is.
func ResponseTimeGraph(monitors []Monitor) GraphDef {
	d := GraphDef{Name: strings.TrimSuffix(ResponseTimeMetric, "."), DisplayName: "HTTP Response Time", Unit: UnitMilliseconds}
	for _, m := range monitors {
		if m.Type == MonitorExternal {
			d.Metrics = append(d.Metrics, GraphDefMetric{Name: ResponseTimeMetric + m.ID, DisplayName: m.Name})
		}
	}
	return d
}

// UsualGoneAfter is after how many minutes of silence a host is unreachable, unless a monitor says otherwise.
const UsualGoneAfter = 10

// Silence returns after how many minutes of silence a host is unreachable for a connectivity monitor.
func (m *Monitor) Silence() int64 { return cmp.Or(m.GoneAfter, UsualGoneAfter) }

// RateMetrics are the metrics of host monitors that are computed: percentages.
var RateMetrics = []string{"cpu%", "memory%", "disk%", "swap%", "container-cpu%", "container-memory%"}

// Limits on monitors.
const (
	maxMonitorText       = 8192 // characters of an expression, a query, a body, a header's value
	maxURL               = 2048 // bytes
	maxHeaders           = 50
	maxHeaderName        = 255
	maxMissingDuration   = 7 * 24 * 60 // minutes: a week
	maxInterval          = 365 * 24 * 60
	maxCertificationDays = 3650
)

// headerName is a token of RFC 9110, section 5.6.2.
var headerName = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")

// Default fills in what a new monitor has when nothing is said about it.
func (m *Monitor) Default() {
	set := func(v *int64, usual int64) {
		if *v == 0 {
			*v = usual
		}
	}
	switch m.Type {
	case MonitorHost, MonitorService:
		set(&m.MaxCheckAttempts, 1)
	case MonitorConnectivity:
		if m.Name == "" {
			m.Name = "connectivity"
		}
		if m.AlertStatusOnGone == "" {
			m.AlertStatusOnGone = CheckCritical
		}
	case MonitorExternal:
		set(&m.MaxCheckAttempts, 1)
		if m.Method == "" {
			m.Method = "GET"
		}
		if m.Headers == nil {
			m.Headers = []HTTPHeader{{"Cache-Control", "no-cache"}}
		}
	case MonitorExpression, MonitorQuery:
		if m.EvaluateBackwardMinutes == nil {
			usual := int64(2)
			if m.Type == MonitorQuery {
				usual = 0
			}
			m.EvaluateBackwardMinutes = &usual
		}
	case MonitorAnomaly:
		set(&m.MaxCheckAttempts, 3)
	}
}

// Check checks a monitor field by field, after Default; now is in Unix seconds. Whether the services and
// roles that it names exist is not its matter. The error is a FieldError.
func (m *Monitor) Check(now int64) error {
	if err := firstError(
		checkOneOf("type", m.Type, MonitorTypes...),
		checkLine("name", m.Name, 1, MaxObjectName),
		checkText("memo", m.Memo, MaxMonitorMemo),
		checkOptional("notificationInterval", m.NotificationInterval, 10, maxInterval),
		checkBetween("muteUntil", m.MuteUntil, 0, maxTime),
		checkCount("scopes", len(m.Scopes), MaxReferences),
		checkCount("excludeScopes", len(m.ExcludeScopes), MaxReferences),
	); err != nil {
		return err
	}
	switch m.Type {
	case MonitorHost, MonitorService:
		return m.checkMetric()
	case MonitorConnectivity:
		if m.GoneAfter != 0 { // once a minute each host posts: less than two would be luck
			if err := checkBetween("goneAfter", m.GoneAfter, 2, maxMissingDuration); err != nil {
				return err
			}
		}
		return checkOneOf("alertStatusOnGone", m.AlertStatusOnGone, CheckCritical, CheckWarning)
	case MonitorExternal:
		return m.checkExternal()
	case MonitorExpression:
		return firstError(m.checkOperator(), checkText("expression", m.Expression, maxMonitorText),
			checkExpression("expression", m.Expression), checkBetween("evaluateBackwardMinutes", *m.EvaluateBackwardMinutes, 2, 10))
	case MonitorQuery:
		return firstError(m.checkOperator(), checkText("query", m.Query, maxMonitorText), checkQuery("query", m.Query),
			checkLine("legend", m.Legend, 0, MaxObjectName), checkBetween("evaluateBackwardMinutes", *m.EvaluateBackwardMinutes, 0, 10))
	}
	return m.checkAnomaly(now)
}

func (m *Monitor) checkOperator() error { return checkOneOf("operator", m.Operator, ">", "<") }

func (m *Monitor) checkMetric() error {
	rate := m.Type == MonitorHost && slices.Contains(RateMetrics, m.Metric)
	switch {
	case m.Metric == "":
		return Invalidf("metric", "is required, and must not be empty")
	case !rate && !ValidMetricName(m.Metric):
		return Invalidf("metric", "must be a metric name of A-Z a-z 0-9 . _ - (of a host also one of %s), not %q", strings.Join(RateMetrics, ", "), short(m.Metric))
	}
	if m.Type == MonitorService && m.Service == "" {
		return Invalidf("service", "is required: the service whose metric is watched")
	}
	if rate {
		for field, v := range map[string]*float64{"warning": m.Warning, "critical": m.Critical} {
			if v != nil && (*v < 0 || *v > 100) {
				return Invalidf(field, "must be from 0 to 100, since %s is a percentage, not %v", m.Metric, *v)
			}
		}
	}
	return firstError(m.checkOperator(), checkBetween("duration", m.Duration, 1, 10), checkBetween("maxCheckAttempts", m.MaxCheckAttempts, 1, 10),
		checkMissing("missingDurationWarning", m.MissingDurationWarning), checkMissing("missingDurationCritical", m.MissingDurationCritical))
}

func checkMissing(field string, minutes *int64) error {
	if minutes != nil && (*minutes < 10 || *minutes > maxMissingDuration || *minutes%10 != 0) {
		return Invalidf(field, "must be a multiple of 10 from 10 to %d minutes, not %d", maxMissingDuration, *minutes)
	}
	return nil
}

func (m *Monitor) checkExternal() error {
	if err := checkURL("url", m.URL); err != nil {
		return err
	}
	timed := m.ResponseTimeWarning != nil || m.ResponseTimeCritical != nil
	for field, ms := range map[string]*float64{"responseTimeWarning": m.ResponseTimeWarning, "responseTimeCritical": m.ResponseTimeCritical} {
		if ms != nil && *ms < 0 {
			return Invalidf(field, "must not be below 0, not %v", *ms)
		}
	}
	switch {
	case timed && m.Service == "":
		return Invalidf("service", "is required to watch the response time, which becomes a metric of that service")
	case timed && m.ResponseTimeDuration == nil:
		return Invalidf("responseTimeDuration", "is required beside a threshold of the response time")
	}
	for i, h := range m.Headers {
		at := "headers[" + itoa(i) + "]"
		if len(h.Name) > maxHeaderName || !headerName.MatchString(h.Name) {
			return Invalidf(at+".name", "must be the name of an HTTP header, not %q", short(h.Name))
		}
		if err := checkLine(at+".value", h.Value, 0, maxMonitorText); err != nil {
			return err
		}
	}
	return firstError(
		checkOneOf("method", m.Method, "GET", "POST", "PUT", "DELETE"),
		checkOptional("responseTimeDuration", m.ResponseTimeDuration, 1, 10),
		checkBetween("maxCheckAttempts", m.MaxCheckAttempts, 1, 10),
		checkText("containsString", m.ContainsString, MaxObjectName),
		checkOptional("certificationExpirationWarning", m.CertificationExpirationWarning, 0, maxCertificationDays),
		checkOptional("certificationExpirationCritical", m.CertificationExpirationCritical, 0, maxCertificationDays),
		checkOptional("expectedStatusCode", m.ExpectedStatusCode, 100, 599),
		checkCount("headers", len(m.Headers), maxHeaders),
		checkText("requestBody", m.RequestBody, maxMonitorText),
		checkOneOf("dualstack", m.Dualstack, "", "ipv4", "ipv6", "auto"),
	)
}

// checkURL checks an address that saba will ask. It may hold a user and a password.
func checkURL(field, s string) error {
	if s == "" {
		return Invalidf(field, "is required: an address that begins with http:// or https://")
	}
	u, err := url.Parse(s)
	if err != nil || len(s) > maxURL || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return Invalidf(field, "must be an address of %d bytes or fewer that begins with http:// or https://, not %q", maxURL, short(s))
	}
	return nil
}

func (m *Monitor) checkAnomaly(now int64) error {
	if m.WarningSensitivity == "" && m.CriticalSensitivity == "" {
		return Invalidf("warningSensitivity", "or criticalSensitivity is required")
	}
	for i, s := range m.Scopes {
		if s.Role == "" {
			return Invalidf("scopes["+itoa(i)+"]", "must be a role (service:role), not the service %q", s.Service)
		}
	}
	if m.TrainingPeriodFrom < 0 || m.TrainingPeriodFrom > now {
		return Invalidf("trainingPeriodFrom", "must be a time in the past in Unix seconds, not %d", m.TrainingPeriodFrom)
	}
	return firstError(
		checkOneOf("warningSensitivity", m.WarningSensitivity, "", "insensitive", "normal", "sensitive"),
		checkOneOf("criticalSensitivity", m.CriticalSensitivity, "", "insensitive", "normal", "sensitive"),
		checkBetween("maxCheckAttempts", m.MaxCheckAttempts, 1, 10))
}

// Muted says whether nobody is told of the monitor's alerts at a time (Unix seconds).
func (m *Monitor) Muted(at int64) bool { return m.Mute || at < m.MuteUntil }

// NameFor returns the name of the monitor for an alert about a series: that of a query monitor may hold {{label}}, as its legend.
func (m *Monitor) NameFor(s AlertSeries) string {
	if m.Type != MonitorQuery {
		return m.Name
	}
	return s.Fill(m.Name)
}

// Watches says whether a host with the given roles is in the monitor's scopes.
func (m *Monitor) Watches(roles []RoleName) bool {
	in := func(s Scope) bool { return s.Holds(roles) }
	return (len(m.Scopes) == 0 || slices.ContainsFunc(m.Scopes, in)) && !slices.ContainsFunc(m.ExcludeScopes, in)
}
