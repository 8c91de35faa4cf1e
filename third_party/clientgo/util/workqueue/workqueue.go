// Package workqueue stands in for the queues of the client of Kubernetes, of which there are none
// here; see third_party/README.md.
package workqueue

// A GaugeMetric goes up and down.
type GaugeMetric interface {
	Inc()
	Dec()
}

// A SettableGaugeMetric is set.
type SettableGaugeMetric interface{ Set(float64) }

// A CounterMetric goes up.
type CounterMetric interface{ Inc() }

// A HistogramMetric observes values.
type HistogramMetric interface{ Observe(float64) }

// A MetricsProvider makes the metrics of queues.
type MetricsProvider interface {
	NewDepthMetric(name string) GaugeMetric
	NewAddsMetric(name string) CounterMetric
	NewLatencyMetric(name string) HistogramMetric
	NewWorkDurationMetric(name string) HistogramMetric
	NewUnfinishedWorkSecondsMetric(name string) SettableGaugeMetric
	NewLongestRunningProcessorSecondsMetric(name string) SettableGaugeMetric
	NewRetriesMetric(name string) CounterMetric
}

// SetProvider does nothing.
func SetProvider(MetricsProvider) {}
