package server

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/saba-monitor/saba"
)

// keys is what metricsHandler asks of the database.
type keys interface {
	KeyByHash(ctx context.Context, hash string) (saba.Key, error)
}

// metricsHandler serves saba's own metrics in the Prometheus text format. A scraper on this
// machine needs no key; any other, and whatever comes through a proxy, sends an API key with
// the read flag as bearer token or in X-Api-Key.
func metricsHandler(registry *prometheus.Registry, k keys) http.Handler {
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local(r) {
			metrics.ServeHTTP(w, r)
			return
		}
		secret := r.Header.Get("X-Api-Key")
		if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && secret == "" {
			secret = bearer
		}
		var p saba.Principal
		if key, err := k.KeyByHash(r.Context(), saba.HashSecret(secret)); err == nil {
			p = saba.Principal{Org: key.Org, Key: key.ID, Read: key.Read, Write: key.Write}
		}
		if err := p.Authorize(saba.Read); err != nil {
			http.Error(w, "metrics of saba itself are open to this machine; from elsewhere send an API key with the read flag as bearer token", http.StatusUnauthorized)
			return
		}
		metrics.ServeHTTP(w, r)
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
