package server

import (
	"errors"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/auth"
)

// metricsHandler serves saba's own metrics in the Prometheus text format. A scraper on this
// machine needs no key; any other, and whatever comes through a proxy, sends an API key with
// the read flag as bearer token or in X-Api-Key, from where that key may be used.
func metricsHandler(registry *prometheus.Registry, door auth.Door) http.Handler {
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local(r) {
			metrics.ServeHTTP(w, r)
			return
		}
		p, err := door.Principal(r)
		if err == nil {
			err = p.Authorize(saba.Read)
		}
		switch {
		case err == nil:
			metrics.ServeHTTP(w, r)
		case errors.Is(err, saba.ErrForbidden) || errors.Is(err, saba.ErrUnauthorized):
			http.Error(w, "metrics of saba itself are open to this machine; from elsewhere send an API key with the read flag as bearer token, from a network that the organization allows", http.StatusUnauthorized)
		default:
			door.Log.Error("who asks for the metrics of saba itself could not be found out", "from", r.RemoteAddr, "error", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
		}
	})
}

// local says whether r comes from a program on this machine and not through a proxy on it.
func local(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && net.ParseIP(host).IsLoopback()
}
