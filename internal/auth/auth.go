// Package auth finds out who sent a request to the API, from its key. It is the only place that does, so that
// every way in refuses a key that was revoked, or that comes from where it may not be used. What the key's
// owner may do is decided by saba.Principal.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// Keys is what package auth asks of the database. A missing key is an error matching saba.ErrNotFound.
type Keys interface {
	KeyByHash(ctx context.Context, hash string) (saba.Key, error)
	TouchKey(ctx context.Context, id string, at int64) error
}

// A Door looks at the keys of requests. All fields but Basic are required.
type Door struct {
	Keys Keys
	Now  func() time.Time
	Log  *slog.Logger
	// Basic takes a key as the password of basic authentication too, which every data source of Grafana can send.
	Basic bool
}

// touchEvery is how long, in seconds, the last use of a key may be out of date.
const touchEvery = 60

// Principal finds out who sent r: an API key in X-Api-Key or as bearer token. Without a key that is known it
// returns the zero Principal, which may do nothing. Keys are looked up each time, so that a revoked key is refused
// at once; the database remembers them while nothing changes. The error matches saba.ErrForbidden when the key may not be
// used from where r comes.
func (d Door) Principal(r *http.Request) (saba.Principal, error) {
	secret := r.Header.Get("X-Api-Key")
	if secret == "" {
		if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
			secret = strings.TrimSpace(token)
		} else if _, password, ok := r.BasicAuth(); ok && d.Basic {
			secret = password
		}
	}
	if secret == "" {
		return saba.Principal{}, nil
	}
	key, err := d.Keys.KeyByHash(r.Context(), saba.HashSecret(secret))
	if errors.Is(err, saba.ErrNotFound) {
		return saba.Principal{}, nil
	}
	if err != nil {
		return saba.Principal{}, fmt.Errorf("look up the API key: %w", err)
	}
	if err := admit(r, key.Networks); err != nil {
		return saba.Principal{}, err
	}
	now := d.Now().Unix()
	if now-key.UsedAt >= touchEvery || now < key.UsedAt {
		if err := d.Keys.TouchKey(r.Context(), key.ID, now); err != nil && r.Context().Err() == nil {
			d.Log.Warn("the last use of an API key could not be noted; the request goes on", "key", key.ID, "error", err)
		}
	}
	return saba.Principal{Org: key.Org, Key: key.ID, Read: key.Read, Write: key.Write}, nil
}

// admit says whether a request may come from where it does. The error matches ErrForbidden.
func admit(r *http.Request, cidrs []string) error {
	if len(cidrs) == 0 {
		return nil
	}
	networks, err := saba.ParseNetworks("cidrs", cidrs)
	if err != nil {
		return fmt.Errorf("the networks that are allowed, as stored: %v", err) // not the client's fault
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !saba.Allowed(networks, from.Addr()) {
		return saba.Errorf(saba.ErrForbidden, "the API may not be used from %s: the organization restricts it to some networks", r.RemoteAddr)
	}
	return nil
}
