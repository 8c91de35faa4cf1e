package web

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/saba-monitor/saba"
)

// admit says whether somebody of an organization may use the console from where a request comes. The error matches
// saba.ErrForbidden. This machine is no exception: a proxy on it that does not forward addresses would let everybody
// in. A list that locks its author out is undone through the API, which refuses to lock itself out.
func (c *console) admit(ctx context.Context, r *http.Request, org string) error {
	cidrs, err := c.Store.Networks(ctx, org, saba.SurfaceWeb)
	if err != nil || len(cidrs) == 0 {
		return err
	}
	networks, err := saba.ParseNetworks("cidrs", cidrs)
	if err != nil {
		return fmt.Errorf("the networks that are allowed, as stored: %v", err) // not the visitor's fault
	}
	from := address(r)
	if ip, err := netip.ParseAddr(from); err != nil || !saba.Allowed(networks, ip) {
		return saba.Errorf(saba.ErrForbidden, "This console may not be used from %s: the organization restricts it to some networks. Whoever has an API key can change them: POST /api/v0/settings/ip-restriction/web.", from)
	}
	return nil
}
