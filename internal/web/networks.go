package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/saba-monitor/saba"
)

// networksPage is page/networks.html.
type networksPage struct {
	layout
	Networks string // one a line
	From     string // the address that the visitor comes from
	Saved    bool
	Error    string
}

func (c *console) networksShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	cidrs, err := c.Store.Networks(r.Context(), v.Org, saba.SurfaceWeb)
	if err != nil {
		return fmt.Errorf("read the networks of the console: %w", err)
	}
	return c.showNetworks(w, r, v, http.StatusOK, networksPage{Networks: strings.Join(cidrs, "\n"), Saved: r.URL.Query().Get("saved") != ""})
}

func (c *console) showNetworks(w http.ResponseWriter, r *http.Request, v visitor, code int, p networksPage) error {
	p.layout, p.From = layoutFor(v, "networks", "Networks"), address(r)
	return c.render(w, r, code, "networks", p)
}

// networksDo replaces the networks from which the console may be used. A list that would lock out whoever sends it is refused.
func (c *console) networksDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	typed := r.PostForm.Get("networks")
	networks, err := readNetworks(typed)
	if err == nil && !r.PostForm.Has("networks") {
		err = saba.Errorf(saba.ErrInvalid, "the form did not arrive whole: send it again")
	}
	if err == nil {
		if ip, bad := netip.ParseAddr(address(r)); bad != nil || !saba.Allowed(networks, ip) {
			err = saba.Errorf(saba.ErrInvalid, "the list must hold the address that you come from (%s), or you could not open the console any more", address(r))
		}
	}
	if err != nil {
		return c.showNetworks(w, r, v, http.StatusBadRequest, networksPage{Networks: typed, Error: sentence(err)})
	}
	cidrs := make([]string, len(networks))
	for i, n := range networks {
		cidrs[i] = n.String()
	}
	if err := c.Store.SetNetworks(r.Context(), v.Org, saba.SurfaceWeb, cidrs); err != nil {
		return err
	}
	c.Log.Info("the networks of the console were changed", "networks", cidrs, "by", v.User)
	http.Redirect(w, r, "/networks?saved=1", http.StatusSeeOther)
	return nil
}

// readNetworks reads networks and addresses, one a line. The error names the line.
func readNetworks(text string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		network, err := netip.ParsePrefix(line)
		if ip, bad := netip.ParseAddr(line); bad == nil && ip.Zone() == "" {
			network, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil {
			return nil, saba.Errorf(saba.ErrInvalid, "line %d must be a network such as 192.0.2.0/24 or an address, not %q", n, clip(line))
		}
		if len(all) == saba.MaxReferences {
			return nil, saba.Errorf(saba.ErrInvalid, "there may be %d networks at the most: take larger ones", saba.MaxReferences)
		}
		all = append(all, network.Masked())
	}
	return all, nil
}
