package web

import (
	"fmt"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/monitor"
)

// conditionWords says when a monitor opens an alert, each condition by itself, and not for whom: "mean of 3 points of cpu% > 80 warning, > 90 critical".
func conditionWords(m saba.Monitor) (words []string) {
	switch m.Type {
	case saba.MonitorHost, saba.MonitorService:
		words = thresholdWords(m, meanWords(m.Duration, m.Metric))
		words = append(words, durationWords("no point of "+m.Metric+" for", "minute", m.MissingDurationWarning, m.MissingDurationCritical)...)
	case saba.MonitorConnectivity:
		words = append(words, "no metric of a host for "+count(int(m.Silence()), "minute")+" "+strings.ToLower(string(m.AlertStatusOnGone)))
	case saba.MonitorExternal:
		words = externalWords(m)
	case saba.MonitorExpression:
		words = thresholdWords(m, m.Expression)
	case saba.MonitorQuery:
		words = thresholdWords(m, m.Query)
	case saba.MonitorAnomaly:
		var levels []string
		for _, l := range []struct{ sensitivity, level string }{{m.WarningSensitivity, "warning"}, {m.CriticalSensitivity, "critical"}} {
			if l.sensitivity != "" {
				levels = append(levels, l.level+" ("+l.sensitivity+")")
			}
		}
		words = append(words, "a host is not as usual at this time of the week: "+strings.Join(levels, ", "))
		words = append(words, attemptWords(m.MaxCheckAttempts)...)
	}
	return words
}

// thresholdWords says what is compared with the thresholds of a monitor; nothing when it has none.
func thresholdWords(m saba.Monitor, what string) []string {
	limits := limitWords(m.Operator, "", m.Warning, m.Critical)
	if limits == "" {
		return nil
	}
	return append([]string{what + " " + limits}, attemptWords(m.MaxCheckAttempts)...)
}

func meanWords(points int64, metric string) string {
	if points > 1 {
		return fmt.Sprintf("mean of %d points of %s", points, metric)
	}
	return metric
}

func attemptWords(n int64) []string {
	if n > 1 {
		return []string{fmt.Sprintf("%d times in a row", n)}
	}
	return nil
}

// limitWords writes two thresholds: "> 80 warning, > 90 critical".
func limitWords(operator, unit string, warning, critical *float64) string {
	var limits []string
	for _, l := range []struct {
		limit *float64
		name  string
	}{{warning, "warning"}, {critical, "critical"}} {
		if l.limit != nil {
			limits = append(limits, operator+" "+saba.FormatValue(*l.limit)+unit+" "+l.name)
		}
	}
	return strings.Join(limits, ", ")
}

// durationWords writes two lengths of time, each as a condition: "no point of orders for 10 minutes warning".
func durationWords(what, unit string, warning, critical *int64) (words []string) {
	for _, l := range []struct {
		length *int64
		name   string
	}{{warning, "warning"}, {critical, "critical"}} {
		if l.length != nil {
			words = append(words, fmt.Sprintf("%s %s %s", what, count(int(*l.length), unit), l.name))
		}
	}
	return words
}

func externalWords(m saba.Monitor) []string {
	status := "a status other than 2xx or 3xx"
	if m.ExpectedStatusCode != nil {
		status = fmt.Sprintf("a status other than %d", *m.ExpectedStatusCode)
	}
	if m.ContainsString != "" {
		status += fmt.Sprintf(", or no “%s”", clip(m.ContainsString))
	}
	words := []string{m.Method + " " + redacted(m.URL) + " answers with " + status + " critical"}
	if limits := limitWords(">", " ms", m.ResponseTimeWarning, m.ResponseTimeCritical); limits != "" {
		points := int64(1)
		if m.ResponseTimeDuration != nil {
			points = *m.ResponseTimeDuration
		}
		words = append(words, meanWords(points, "the response time")+" "+limits)
	}
	words = append(words, durationWords("its certificate ends within", "day", m.CertificationExpirationWarning, m.CertificationExpirationCritical)...)
	return append(words, attemptWords(m.MaxCheckAttempts)...)
}

// forWords says for whom a monitor is; "" when it is for all.
func forWords(m saba.Monitor) string {
	var words []string
	switch {
	case m.Type == saba.MonitorExternal && m.Service != "":
		words = append(words, "with the service "+m.Service)
	case m.Service != "":
		words = append(words, "of the service "+m.Service)
	case len(m.Scopes) > 0:
		words = append(words, "of hosts in "+scopeWords(m.Scopes))
	}
	if len(m.ExcludeScopes) > 0 {
		words = append(words, "not of hosts in "+scopeWords(m.ExcludeScopes))
	}
	return strings.Join(words, "; ")
}

func scopeWords(scopes []saba.Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = s.String()
	}
	return strings.Join(names, ", ")
}

// learnedWords says what a monitor of anomalies knows, each role by itself: "shop:web is judged by Saturdays 21:50–22:30 over 4 weeks".
func learnedWords(all []monitor.Learned) (words []string) {
	const most = 20
	for _, l := range all[:min(len(all), most)] {
		if l.Known {
			words = append(words, l.Of+" is judged by "+l.When)
		} else {
			words = append(words, fmt.Sprintf("%s is learning: %d of %d days are known", l.Of, l.Days, l.Least))
		}
	}
	if n := len(all) - most; n > 0 {
		words = append(words, fmt.Sprintf("and %d more", n))
	}
	return words
}
