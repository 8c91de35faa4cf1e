package web

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// newHostPage is page/newhost.html: first a form, then the key and what to do with it.
type newHostPage struct {
	layout
	Name  string // of the key, as it was typed
	Roles string // as they were typed
	Error string

	Key    *saba.Key // nil for the form
	Config string    // the agent's TOML
	Shell  string    // the lines that write it and start the agent
	Wait   string    // address of the frame that waits
	Local  bool      // the address in Config only works on this machine
	Base   string
}

func (c *console) hostNew(w http.ResponseWriter, r *http.Request, v visitor) error {
	return c.render(w, r, http.StatusOK, "newhost", newHostPage{layout: layoutFor(v, "new", "Add a host")})
}

// maxKeyName bounds the name of an API key, in characters.
const maxKeyName = 100

func (c *console) hostNewDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	p := newHostPage{layout: layoutFor(v, "new", "Add a host"), Name: strings.TrimSpace(r.PostForm.Get("name")), Roles: strings.TrimSpace(r.PostForm.Get("roles"))}
	again := func(err error) error {
		p.Error = sentence(err)
		return c.render(w, r, http.StatusBadRequest, "newhost", p)
	}
	var roles []string
	for _, f := range strings.FieldsFunc(p.Roles, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' }) {
		role, err := saba.ParseRoleName(f)
		if err != nil {
			return again(err)
		}
		roles = append(roles, role.String())
	}
	if p.Name == "" {
		p.Name = "agents"
	}
	k, secret, err := c.makeKey(r, v, p.Name, true, true)
	if err != nil {
		if status(err) < http.StatusInternalServerError {
			return again(err)
		}
		return err
	}
	p.Key = &k
	p.Base = c.baseURL(r)
	p.Local = isLocal(p.Base)
	p.Config = agentConfig(secret, p.Base, roles)
	p.Shell = "sudo mkdir -p /etc/saba\n" +
		"sudo install -m 600 /dev/null /etc/saba/agent.toml\n" +
		"sudo tee /etc/saba/agent.toml >/dev/null <<'END'\n" + p.Config + "END\n" +
		"sudo saba-agent agent --conf /etc/saba/agent.toml\n"
	p.Wait = "/hosts/new/wait/" + k.ID
	p.Scripts = true
	return c.render(w, r, http.StatusOK, "newhost", p)
}

// agentConfig returns the configuration file of an agent. strconv.Quote would write escapes
// that TOML does not know, but none of these values holds a character that needs any: a
// secret is base64, roles are names, and the address was parsed.
func agentConfig(secret, base string, roles []string) string {
	var b strings.Builder
	b.WriteString("apikey = \"" + secret + "\"\n")
	b.WriteString("apibase = \"" + base + "\"\n")
	if len(roles) > 0 {
		quoted := make([]string, len(roles))
		for i, r := range roles {
			quoted[i] = strconv.Quote(r)
		}
		b.WriteString("roles = [" + strings.Join(quoted, ", ") + "]\n")
	}
	return b.String()
}

// baseURL returns the address that agents post to: the configured one, or the one that the
// visitor's browser came by.
func (c *console) baseURL(r *http.Request) string {
	if c.BaseURL != "" {
		return c.BaseURL
	}
	u := url.URL{Scheme: "http", Host: r.Host}
	if secure(r) {
		u.Scheme = "https"
	}
	// What is not a plain host and port came from no browser.
	if strings.ContainsFunc(r.Host, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(".-_:[]", c))
	}) || r.Host == "" {
		u.Host = "localhost"
	}
	return u.String()
}

// isLocal says whether a base address only works on the machine itself.
func isLocal(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// waitPage is page/wait.html, in a frame: it looks every few seconds for a host that was
// registered with the key.
type waitPage struct {
	layout
	Host *hostRow // nil while there is none
}

func (c *console) hostNewWait(w http.ResponseWriter, r *http.Request, v visitor) error {
	hosts, err := c.Store.Hosts(r.Context(), v.Org, saba.HostFilter{RegisteredBy: r.PathValue("key")})
	if err != nil {
		return err
	}
	p := waitPage{layout: layout{Title: "Waiting for the host", Bare: true, Refresh: 5}}
	if len(hosts) > 0 {
		newest := slices.MaxFunc(hosts, func(a, b saba.Host) int { return strings.Compare(a.ID, b.ID) })
		row := c.hostRow(&newest)
		p.Host, p.Refresh = &row, 0
	}
	return c.render(w, r, http.StatusOK, "wait", p)
}
