package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
)

// Limits on what a client says about a host. Lengths are in characters.
const (
	maxName       = 255
	maxMemo       = 8192
	maxAddress    = 64
	maxInterfaces = 1000
	maxAddresses  = 1000 // an interface
	maxRoles      = 100
	maxChecks     = 1000
	maxCheckMemo  = 250
	maxBulk       = 30 // hosts in one call
)

// hostOut is a host as clients read it.
type hostOut struct {
	ID               string              `json:"id"`
	Name             string              `json:"name"`
	DisplayName      string              `json:"displayName,omitempty"`
	CustomIdentifier string              `json:"customIdentifier,omitempty"`
	Size             string              `json:"size"`
	Status           saba.HostStatus     `json:"status"`
	Memo             string              `json:"memo"`
	Roles            map[string][]string `json:"roles"`
	IsRetired        bool                `json:"isRetired"`
	RetiredAt        int64               `json:"retiredAt,omitempty"`
	CreatedAt        int64               `json:"createdAt"` // read as int32 by clients: good until 2038
	Meta             json.RawMessage     `json:"meta"`
	Interfaces       []interfaceOut      `json:"interfaces"`
}

// interfaceOut is a network interface as clients read it. Some read the list of addresses,
// others the single one, which is the first.
type interfaceOut struct {
	saba.Interface
	IP   string `json:"ipAddress,omitempty"`
	IPv6 string `json:"ipv6Address,omitempty"`
}

func newHostOut(h saba.Host) hostOut {
	out := hostOut{
		ID: h.ID, Name: h.Name, DisplayName: h.DisplayName, CustomIdentifier: h.CustomIdentifier,
		Size: h.Size(), Status: h.Status, Memo: h.Memo,
		Roles: map[string][]string{}, IsRetired: h.Retired(), RetiredAt: h.RetiredAt, CreatedAt: h.CreatedAt,
		Meta: h.Meta, Interfaces: make([]interfaceOut, len(h.Interfaces)),
	}
	for _, r := range h.Roles {
		out.Roles[r.Service] = append(out.Roles[r.Service], r.Role)
	}
	if len(out.Meta) == 0 {
		out.Meta = json.RawMessage("{}")
	}
	for i, in := range h.Interfaces {
		out.Interfaces[i].Interface = in
		if len(in.IPv4) > 0 {
			out.Interfaces[i].IP = in.IPv4[0]
		}
		if len(in.IPv6) > 0 {
			out.Interfaces[i].IPv6 = in.IPv6[0]
		}
	}
	return out
}

// hostIn is what clients say about a host when they register or update it. For a list, absent
// and null are a nil slice: they change nothing; [] is an empty one.
type hostIn struct {
	Name             string                  `json:"name"`
	Meta             json.RawMessage         `json:"meta"`
	DisplayName      *string                 `json:"displayName"`
	Memo             *string                 `json:"memo"`
	CustomIdentifier json.RawMessage         `json:"customIdentifier"` // null clears it, absent keeps it
	Interfaces       []interfaceIn           `json:"interfaces"`
	RoleFullnames    []string                `json:"roleFullnames"`
	Checks           []saba.CheckDeclaration `json:"checks"`
}

type interfaceIn struct {
	Name string   `json:"name"`
	MAC  string   `json:"macAddress"`
	IPv4 []string `json:"ipv4Addresses"`
	IPv6 []string `json:"ipv6Addresses"`
	IP   string   `json:"ipAddress"` // older form of IPv4, and weaker
	IP6  string   `json:"ipv6Address"`
}

// readHost reads the body of a registration or update. Both mean the same: a registration
// is an update of nothing.
func (c *call) readHost() (u saba.HostUpdate, err error) {
	var in hostIn
	if err := c.decode(&in); err != nil {
		return u, err
	}
	if u.Name, err = text("name", in.Name, 1, maxName); err != nil {
		return u, err
	}
	if u.Meta, err = cleanMeta(in.Meta); err != nil {
		return u, err
	}
	if in.DisplayName != nil {
		if _, err := text("displayName", *in.DisplayName, 0, maxName); err != nil {
			return u, err
		}
		u.DisplayName = in.DisplayName
	}
	if in.Memo != nil {
		if err := memo(*in.Memo); err != nil {
			return u, err
		}
		u.Memo = in.Memo
	}
	if in.CustomIdentifier != nil {
		var s *string
		if json.Unmarshal(in.CustomIdentifier, &s) != nil {
			return u, saba.Invalidf("customIdentifier", "must be a string or null, not %s", jsonKind(in.CustomIdentifier))
		}
		if s == nil {
			s = new(string)
		}
		if _, err := text("customIdentifier", *s, 0, maxName); err != nil {
			return u, err
		}
		u.CustomIdentifier = s
	}
	if in.Interfaces != nil {
		interfaces, err := cleanInterfaces(in.Interfaces)
		if err != nil {
			return u, err
		}
		u.Interfaces = &interfaces
	}
	if u.AddRoles, err = roleNames(in.RoleFullnames); err != nil {
		return u, err
	}
	if in.Checks != nil {
		checks, err := cleanChecks(in.Checks)
		if err != nil {
			return u, err
		}
		u.Checks = &checks
	}
	return u, nil
}

// text checks a string of one line: its length in characters, and that nothing in it would
// upset a terminal or a database.
func text(field, s string, least, most int) (string, error) {
	switch n := utf8.RuneCountInString(s); {
	case n < least:
		return "", saba.Invalidf(field, "is required, and must not be empty")
	case n > most:
		return "", saba.Invalidf(field, "must be %d characters or fewer, not %d", most, n)
	}
	if i := strings.IndexFunc(s, unicode.IsControl); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return "", saba.Invalidf(field, "must not hold the control character %U", r)
	}
	return s, nil
}

// memo checks a text of several lines.
func memo(s string) error {
	if n := utf8.RuneCountInString(s); n > maxMemo {
		return saba.Invalidf("memo", "must be %d characters or fewer, not %d", maxMemo, n)
	}
	if strings.ContainsRune(s, 0) {
		return saba.Invalidf("memo", "must not hold the control character U+0000")
	}
	return nil
}

func cleanInterfaces(in []interfaceIn) ([]saba.Interface, error) {
	if len(in) > maxInterfaces {
		return nil, saba.Invalidf("interfaces", "must hold %d elements or fewer, not %d", maxInterfaces, len(in))
	}
	out := make([]saba.Interface, len(in))
	for i, f := range in {
		field := fmt.Sprintf("interfaces[%d]", i)
		if len(f.IPv4) == 0 && f.IP != "" {
			f.IPv4 = []string{f.IP}
		}
		if len(f.IPv6) == 0 && f.IP6 != "" {
			f.IPv6 = []string{f.IP6}
		}
		if _, err := text(field+".name", f.Name, 0, maxName); err != nil {
			return nil, err
		}
		if _, err := text(field+".macAddress", f.MAC, 0, maxAddress); err != nil {
			return nil, err
		}
		if n := len(f.IPv4) + len(f.IPv6); n > maxAddresses {
			return nil, saba.Invalidf(field, "must hold %d addresses or fewer, not %d", maxAddresses, n)
		}
		for _, address := range slices.Concat(f.IPv4, f.IPv6) {
			if _, err := text(field+" address", address, 0, maxAddress); err != nil {
				return nil, err
			}
		}
		out[i] = saba.Interface{Name: f.Name, MAC: f.MAC, IPv4: f.IPv4, IPv6: f.IPv6}
	}
	return out, nil
}

// roleNames parses the role full names of a request, sorted and each once.
func roleNames(full []string) ([]saba.RoleName, error) {
	if len(full) > maxRoles {
		return nil, saba.Invalidf("roleFullnames", "must hold %d elements or fewer, not %d", maxRoles, len(full))
	}
	roles := make([]saba.RoleName, 0, len(full))
	for i, s := range full {
		role, err := saba.ParseRoleName(s)
		if err != nil {
			return nil, fmt.Errorf("roleFullnames[%d]: %w", i, err)
		}
		roles = append(roles, role)
	}
	slices.SortFunc(roles, saba.RoleName.Compare)
	return slices.Compact(roles), nil
}

// cleanChecks checks a host's declarations. Of two with one name the first counts; a memo
// that is too long is cut, for the sake of agents that do not start without an answer of 200.
func cleanChecks(in []saba.CheckDeclaration) ([]saba.CheckDeclaration, error) {
	if len(in) > maxChecks {
		return nil, saba.Invalidf("checks", "must hold %d elements or fewer, not %d", maxChecks, len(in))
	}
	out := make([]saba.CheckDeclaration, 0, len(in))
	seen := map[string]bool{}
	for i, d := range in {
		if _, err := text(fmt.Sprintf("checks[%d].name", i), d.Name, 1, maxName); err != nil {
			return nil, err
		}
		if seen[d.Name] {
			continue
		}
		seen[d.Name] = true
		out = append(out, saba.CheckDeclaration{Name: d.Name, Memo: cut(d.Memo, maxCheckMemo)})
	}
	return out, nil
}

// cut shortens s to n characters, and removes what a database would not take.
func cut(s string, n int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if utf8.RuneCountInString(s) > n {
		s = string([]rune(s)[:n])
	}
	return s
}

func (s *server) hostCreate(w http.ResponseWriter, c *call) error {
	u, err := c.readHost()
	if err != nil {
		return err
	}
	id, err := s.newID()
	if err != nil {
		return err
	}
	host := saba.Host{
		ID: id, Org: c.org, Name: u.Name, Status: s.defaultStatus, Roles: u.AddRoles,
		CreatedAt: s.now().Unix(), Meta: u.Meta, RegisteredBy: c.key,
	}
	if u.DisplayName != nil {
		host.DisplayName = *u.DisplayName
	}
	if u.Memo != nil {
		host.Memo = *u.Memo
	}
	if u.CustomIdentifier != nil {
		host.CustomIdentifier = *u.CustomIdentifier
	}
	if u.Interfaces != nil {
		host.Interfaces = *u.Interfaces
	}
	var checks []saba.CheckDeclaration
	if u.Checks != nil {
		checks = *u.Checks
	}
	if err := s.store.CreateHost(c.Context(), host, checks, s.newID); err != nil {
		return taken(fmt.Errorf("register host %q: %w", host.Name, err))
	}
	return s.json(w, c, created{ID: id})
}

func (s *server) hostUpdate(w http.ResponseWriter, c *call) error {
	u, err := c.readHost()
	if err != nil {
		return err
	}
	host, err := s.liveHost(c)
	if err != nil {
		return err
	}
	if err := s.store.UpdateHost(c.Context(), c.org, host.ID, u, s.newID); err != nil {
		return taken(fmt.Errorf("update host %q: %w", host.ID, err))
	}
	return s.json(w, c, created{ID: host.ID})
}

// taken makes the error about a name that is taken the 400 that this protocol has for it.
func taken(err error) error {
	if errors.Is(err, saba.ErrConflict) {
		return saba.Errorf(saba.ErrInvalid, "%v", err)
	}
	return err
}

// host returns the host of the path, retired or not.
func (s *server) host(c *call) (saba.Host, error) {
	return s.store.Host(c.Context(), c.org, c.PathValue("host"))
}

// liveHost returns the host of the path. A retired one cannot be changed: the error matches ErrInvalid.
func (s *server) liveHost(c *call) (saba.Host, error) {
	host, err := s.host(c)
	if err != nil {
		return host, err
	}
	if host.Retired() {
		return host, saba.Errorf(saba.ErrInvalid, "host %q was retired and takes no changes: delete its agent's id file to register the machine as a new host", host.ID)
	}
	return host, nil
}

func (s *server) hostShow(w http.ResponseWriter, c *call) error {
	host, err := s.host(c)
	if err != nil {
		return err
	}
	return s.json(w, c, hostAnswer{newHostOut(host)})
}

type hostAnswer struct {
	Host hostOut `json:"host"`
}

func (s *server) hostByCustomIdentifier(w http.ResponseWriter, c *call) error {
	fold, err := c.flag("caseInsensitive")
	if err != nil {
		return err
	}
	host, err := s.store.HostByCustomIdentifier(c.Context(), c.org, c.PathValue("identifier"), fold)
	if err != nil {
		return err
	}
	return s.json(w, c, hostAnswer{newHostOut(host)})
}

type hostListOut struct {
	Hosts []hostOut `json:"hosts"`
}

func (s *server) hostList(w http.ResponseWriter, c *call) error {
	q := c.URL.Query()
	f := saba.HostFilter{
		Service: q.Get("service"), Roles: q["role"], Name: q.Get("name"),
		CustomIdentifier: q.Get("customIdentifier"),
	}
	if len(f.Roles) > maxRoles {
		return saba.Invalidf("role", "may be given %d times, not %d", maxRoles, len(f.Roles))
	}
	for _, v := range unique(q["status"]) {
		status := saba.HostStatus(v)
		if !status.Valid() {
			return badStatus(v)
		}
		f.Statuses = append(f.Statuses, status)
	}
	if len(f.Statuses) == 0 {
		f.Statuses = []saba.HostStatus{saba.Working, saba.Standby}
	}
	hosts, err := s.store.Hosts(c.Context(), c.org, f)
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	out := hostListOut{make([]hostOut, len(hosts))}
	for i, h := range hosts {
		out.Hosts[i] = newHostOut(h)
	}
	return s.json(w, c, out)
}

func badStatus(status string) error {
	return saba.Invalidf("status", "must be working, standby, maintenance or poweroff, not %q", clip(status))
}

type hostStatusIn struct {
	Status saba.HostStatus `json:"status"`
}

func (s *server) hostStatus(w http.ResponseWriter, c *call) error {
	var in hostStatusIn
	if err := c.decode(&in); err != nil {
		return err
	}
	if !in.Status.Valid() {
		return badStatus(string(in.Status))
	}
	host, err := s.liveHost(c)
	if err != nil {
		return err
	}
	if err := s.store.SetHostStatus(c.Context(), c.org, []string{host.ID}, in.Status); err != nil {
		return err
	}
	return s.ok(w, c)
}

type hostRolesIn struct {
	RoleFullnames []string `json:"roleFullnames"`
}

func (s *server) hostRoles(w http.ResponseWriter, c *call) error {
	var in hostRolesIn
	if err := c.decode(&in); err != nil {
		return err
	}
	roles, err := roleNames(in.RoleFullnames)
	if err != nil {
		return err
	}
	host, err := s.liveHost(c)
	if err != nil {
		return err
	}
	if err := s.store.SetHostRoles(c.Context(), c.org, host.ID, roles); err != nil {
		return err
	}
	return s.ok(w, c)
}

// hostRetire retires a host. Agents send null, an empty body or {}: it means nothing, and is
// not read. Retiring twice is fine, because they repeat themselves.
func (s *server) hostRetire(w http.ResponseWriter, c *call) error {
	if err := s.store.RetireHosts(c.Context(), c.org, []string{c.PathValue("host")}, s.now().Unix()); err != nil {
		return err
	}
	return s.ok(w, c)
}

// hostRevive undoes a retirement; the protocol has no such call.
func (s *server) hostRevive(w http.ResponseWriter, c *call) error {
	if err := s.store.ReviveHost(c.Context(), c.org, c.PathValue("host"), s.now().Unix()); err != nil {
		return taken(err)
	}
	return s.ok(w, c)
}

// bulkIDs checks the host ids of a bulk call, and returns each once.
func bulkIDs(ids []string) ([]string, error) {
	if len(ids) == 0 || len(ids) > maxBulk {
		return nil, saba.Invalidf("ids", "must hold 1 to %d host ids, not %d", maxBulk, len(ids))
	}
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

type bulkStatusIn struct {
	IDs    []string        `json:"ids"`
	Status saba.HostStatus `json:"status"`
}

func (s *server) hostBulkStatus(w http.ResponseWriter, c *call) error {
	var in bulkStatusIn
	if err := c.decode(&in); err != nil {
		return err
	}
	ids, err := bulkIDs(in.IDs)
	if err != nil {
		return err
	}
	if !in.Status.Valid() {
		return badStatus(string(in.Status))
	}
	if err := s.store.SetHostStatus(c.Context(), c.org, ids, in.Status); err != nil {
		return err
	}
	return s.ok(w, c)
}

type bulkIn struct {
	IDs []string `json:"ids"`
}

func (s *server) hostBulkRetire(w http.ResponseWriter, c *call) error {
	var in bulkIn
	if err := c.decode(&in); err != nil {
		return err
	}
	ids, err := bulkIDs(in.IDs)
	if err != nil {
		return err
	}
	if err := s.store.RetireHosts(c.Context(), c.org, ids, s.now().Unix()); err != nil {
		return err
	}
	return s.ok(w, c)
}

// monitoredStatus is one judgement about a host.
type monitoredStatus struct {
	MonitorID string           `json:"monitorId"`
	Status    saba.CheckStatus `json:"status"`
	Detail    struct {
		Type    string `json:"type"`
		Message string `json:"message"`
		Memo    string `json:"memo,omitempty"`
	} `json:"detail"`
}

type monitoredStatusesOut struct {
	MonitoredStatuses []monitoredStatus `json:"monitoredStatuses"`
}

// hostMonitoredStatuses lists what is known of a host's checks. A check that has not reported
// yet has no status: it is left out.
func (s *server) hostMonitoredStatuses(w http.ResponseWriter, c *call) error {
	host, err := s.host(c)
	if err != nil {
		return err
	}
	checks, err := s.store.Checks(c.Context(), c.org, host.ID)
	if err != nil {
		return fmt.Errorf("list the checks of host %q: %w", host.ID, err)
	}
	out := monitoredStatusesOut{[]monitoredStatus{}}
	for _, check := range checks {
		if check.Latest.Status == "" {
			continue
		}
		m := monitoredStatus{MonitorID: check.ID, Status: check.Latest.Status}
		m.Detail.Type, m.Detail.Message, m.Detail.Memo = "check", check.Latest.Message, check.Memo
		out.MonitoredStatuses = append(out.MonitoredStatuses, m)
	}
	return s.json(w, c, out)
}
