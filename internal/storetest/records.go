package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

// Records is everything but samples, as package sqldb keeps it. The facts that TestRecords
// states are what its readers may rely on.
type Records interface {
	EnsureOrg(ctx context.Context, o saba.Org) (saba.Org, error)
	Org(ctx context.Context, id string) (saba.Org, error)

	CreateHost(ctx context.Context, h saba.Host, checks []saba.CheckDeclaration, newID func() (string, error)) error
	Host(ctx context.Context, org, id string) (saba.Host, error)
	HostRetired(ctx context.Context, org, id string) (bool, error)
	Hosts(ctx context.Context, org string, f saba.HostFilter) ([]saba.Host, error)
	HostByCustomIdentifier(ctx context.Context, org, ident string, fold bool) (saba.Host, error)
	UpdateHost(ctx context.Context, org, id string, u saba.HostUpdate, newID func() (string, error)) error
	SetHostStatus(ctx context.Context, org string, ids []string, s saba.HostStatus) error
	SetHostRoles(ctx context.Context, org, id string, roles []saba.RoleName) error
	RetireHosts(ctx context.Context, org string, ids []string, at int64) error

	Services(ctx context.Context, org string) ([]saba.Service, error)
	CreateService(ctx context.Context, org string, s saba.Service) error
	DeleteService(ctx context.Context, org, name string, at int64) (saba.Service, error)
	Roles(ctx context.Context, org, service string) ([]saba.Role, error)
	CreateRole(ctx context.Context, org, service string, r saba.Role) error
	DeleteRole(ctx context.Context, org, service, role string) (saba.Role, error)

	PutGraphDefs(ctx context.Context, org string, defs []saba.GraphDef) error
	GraphDefs(ctx context.Context, org string) ([]saba.GraphDef, error)
	DeleteGraphDef(ctx context.Context, org, name string) error
	SeeGraphDefs(ctx context.Context, org string, names []string, at int64) error
	ForgetGraphDefs(ctx context.Context, org string, names []string, before, now int64) (int, error)

	ReportChecks(ctx context.Context, org string, reports []saba.CheckReport, newID func() (string, error)) error
	Checks(ctx context.Context, org, host string) ([]saba.Check, error)
	CheckList(ctx context.Context, org, fromID string, limit int) ([]saba.Check, error)
	Check(ctx context.Context, org, id string) (saba.Check, error)

	Metadata(ctx context.Context, o saba.MetadataOwner, ns string) (saba.Metadata, error)
	PutMetadata(ctx context.Context, o saba.MetadataOwner, m saba.Metadata) error
	DeleteMetadata(ctx context.Context, o saba.MetadataOwner, ns string) error
	MetadataNamespaces(ctx context.Context, o saba.MetadataOwner) ([]string, error)

	CreateKey(ctx context.Context, k saba.Key) error
	KeyByHash(ctx context.Context, hash string) (saba.Key, error)
	Keys(ctx context.Context, org string) ([]saba.Key, error)
	DeleteKey(ctx context.Context, org, id string) error
	TouchKey(ctx context.Context, id string, at int64) error

	Users(ctx context.Context, org string) ([]saba.User, error)
	User(ctx context.Context, id string) (saba.User, error)
	UserByEmail(ctx context.Context, email string) (saba.User, error)
	SetSetupToken(ctx context.Context, org, hash string) error
	SetupPending(ctx context.Context, hash string) (org string, err error)
	CompleteSetup(ctx context.Context, hash string, u saba.User) error
	CreateSession(ctx context.Context, s saba.Session) error
	SessionByHash(ctx context.Context, hash string, now int64) (saba.Session, error)
	DeleteSession(ctx context.Context, hash string) error
	DeleteExpiredSessions(ctx context.Context, now int64) error
}

// TestRecords runs the contract of records against one engine. open returns an empty database
// that holds the organizations "org1" and "org2" and nothing else; it is closed by the test's
// cleanup.
func TestRecords(t *testing.T, open func(t *testing.T) Records) {
	for _, fact := range []struct {
		name string
		test func(r records)
	}{
		{"the first organization is made once and then found", testEnsureOrg},
		{"an organization that is not there is not found", testOrgMissing},

		{"a host is read as it was created, and its facts byte for byte", testHostRoundTrip},
		{"a host without anything has empty facts and no roles", testHostBare},
		{"creating a host makes the services and roles that are missing", testHostMakesRoles},
		{"a host id is taken once", testHostIDTaken},
		{"two live hosts cannot have one custom identifier, and the loser leaves no trace", testIdentifierTaken},
		{"hosts without a custom identifier do not meet", testIdentifierUnset},
		{"a retired host gives its custom identifier free", testIdentifierOfRetired},
		{"two organizations may use one custom identifier", testIdentifierPerOrg},
		{"a custom identifier finds the live host; ignoring case, the oldest", testIdentifierLookup},
		{"hosts are listed newest first, with roles, without the retired", testHostsOrder},
		{"host filters combine with AND", testHostsFilter},

		{"an update keeps what it does not name", testUpdateKeeps},
		{"an update replaces what it names", testUpdateReplaces},
		{"an update adds roles and takes none", testUpdateAddsRoles},
		{"an empty custom identifier in an update clears it", testUpdateClearsIdentifier},
		{"an update may repeat its own custom identifier, not take another's", testUpdateIdentifierTaken},
		{"an update's list of checks is complete, no list keeps them", testUpdateChecks},
		{"an update that fails changes nothing", testUpdateAllOrNothing},
		{"statuses change for all hosts or for none", testStatusAllOrNone},
		{"setting roles replaces them and keeps the roles that become empty", testSetRoles},
		{"retiring happens to all hosts or to none", testRetireAllOrNone},
		{"retiring twice is fine and keeps the first time", testRetireTwice},
		{"a retired host can be read and not changed", testRetiredReadOnly},

		{"services are listed by name with sorted roles", testServices},
		{"a service name is taken once in an organization", testServiceTaken},
		{"deleting a service takes roles, assignments and metadata along, and returns it as it was", testDeleteService},
		{"roles are listed by name", testRoles},
		{"a role name is taken once in a service", testRoleTaken},
		{"deleting a role takes assignments and metadata along, and returns it as it was", testDeleteRole},

		{"graph definitions are kept by name, wildcards too, and the last put wins", testGraphDefs},
		{"deleting a graph definition that is not there is not found", testDeleteGraphDef},
		{"graph definitions that were not seen for long are forgotten", testForgetGraphDefs},

		{"declared checks exist before their first report", testDeclaredChecks},
		{"a report of an unknown check makes the check", testReportMakesCheck},
		{"the latest report is the one that occurred last, not the one that arrived last", testReportLatest},
		{"a second report of the same time is ignored", testReportDuplicate},
		{"reports of unknown, foreign and retired hosts are ignored, their neighbours kept", testReportUnknownHost},
		{"after more than a thousand reports the latest is still right", testReportMany},
		{"checks are listed by id in pages, without those of retired hosts", testCheckList},
		{"a check is found by its id within its organization", testCheck},

		{"metadata come back byte for byte", testMetadataVerbatim},
		{"metadata are replaced under the same namespace", testMetadataReplace},
		{"metadata of host, service and role do not meet", testMetadataOwners},
		{"a missing owner and a missing namespace are told apart", testMetadataMissing},
		{"metadata have limits of size and number", testMetadataLimits},
		{"metadata of a retired host can be read and not changed", testMetadataRetired},

		{"a key is found by its hash and listed oldest first", testKeys},
		{"a key that was deleted is gone at once, and only its organization can delete it", testDeleteKey},
		{"the last use of a key is kept to the minute and never goes back", testTouchKey},

		{"a set-up link creates the first account once", testSetup},
		{"a new set-up link voids the old one", testSetupReplaced},
		{"a set-up link is void when there is an account", testSetupWithAccount},
		{"e-mail addresses are compared without regard to case", testUserByEmail},
		{"a session is found until it expires or ends", testSessions},

		{"of hosts that want one custom identifier at once one gets it, and the others learn whose it is", testIdentifierAtOnce},
		{"a service that many make at once is made once", testServiceAtOnce},
		{"readers beside writers see whole changes", testReadersAtOnce},
		{"characters that an engine may not take harm nothing beside them", testOddCharacters},

		{"what belongs to one organization is not there for another", testForeign},
		{"a cancelled context changes nothing and says so", testCancelled},
	} {
		t.Run(fact.name, func(t *testing.T) {
			n := 0
			fact.test(records{t, t.Context(), open(t), func() (string, error) {
				n++
				return fmt.Sprintf("id%03d", n), nil
			}})
		})
	}
}

// records is an engine under test and shortens what every fact does.
type records struct {
	*testing.T
	ctx   context.Context
	db    Records
	newID func() (string, error) // id001, id002, …
}

const (
	org1, org2 = "org1", "org2"
	noon       = int64(1_767_268_800) // a time of creation
)

// ok ends the test if err is not nil.
func (r records) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// is reports an error that is not of kind, or whose text does not hold every word.
func (r records) is(err, kind error, words ...string) {
	r.Helper()
	if !errors.Is(err, kind) {
		r.Fatalf("error is %v, want one matching %q", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			r.Errorf("error %q does not say %q", err, w)
		}
	}
}

// same compares; nil and empty slices are the same.
func (r records) same(what string, got, want any) {
	r.Helper()
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	if g.Kind() == reflect.Slice && g.Len() == 0 && w.Len() == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		r.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// host makes a plain live host of org1; edit may change it first.
func (r records) host(id string, edit ...func(*saba.Host)) saba.Host {
	r.Helper()
	h := saba.Host{ID: id, Org: org1, Name: id + ".example", Status: saba.Working, CreatedAt: noon, Meta: json.RawMessage("{}")}
	for _, e := range edit {
		e(&h)
	}
	r.ok(r.db.CreateHost(r.ctx, h, nil, r.newID))
	return h
}

func (r records) readHost(id string) saba.Host {
	r.Helper()
	h, err := r.db.Host(r.ctx, org1, id)
	r.ok(err)
	return h
}

func (r records) hostIDs(f saba.HostFilter) []string {
	r.Helper()
	hosts, err := r.db.Hosts(r.ctx, org1, f)
	r.ok(err)
	var ids []string
	for _, h := range hosts {
		ids = append(ids, h.ID)
	}
	return ids
}

// services returns the services of an organization, without the names of their samples.
func (r records) services(org string) []saba.Service {
	r.Helper()
	s, err := r.db.Services(r.ctx, org)
	r.ok(err)
	for i := range s {
		s[i].Series = ""
	}
	return s
}

// seriesOf returns under which name the samples of each service of an organization are kept.
func (r records) seriesOf(org string) map[string]string {
	r.Helper()
	all, err := r.db.Services(r.ctx, org)
	r.ok(err)
	series := map[string]string{}
	for _, s := range all {
		series[s.Name] = s.Series
	}
	return series
}

func (r records) checks(host string) []saba.Check {
	r.Helper()
	c, err := r.db.Checks(r.ctx, org1, host)
	r.ok(err)
	return c
}

func (r records) checkNames(host string) []string {
	r.Helper()
	var names []string
	for _, c := range r.checks(host) {
		names = append(names, c.Name)
	}
	return names
}

func (r records) report(reports ...saba.CheckReport) {
	r.Helper()
	r.ok(r.db.ReportChecks(r.ctx, org1, reports, r.newID))
}

func identifier(s string) func(*saba.Host)       { return func(h *saba.Host) { h.CustomIdentifier = s } }
func created(at int64) func(*saba.Host)          { return func(h *saba.Host) { h.CreatedAt = at } }
func roles(rs ...saba.RoleName) func(*saba.Host) { return func(h *saba.Host) { h.Roles = rs } }
func ofOrg(org string) func(*saba.Host)          { return func(h *saba.Host) { h.Org = org } }
func role(service, name string) saba.RoleName    { return saba.RoleName{Service: service, Role: name} }
func update(edit func(u *saba.HostUpdate)) saba.HostUpdate {
	u := saba.HostUpdate{Name: "new", Meta: json.RawMessage(`{"a":1}`)}
	if edit != nil {
		edit(&u)
	}
	return u
}

func testEnsureOrg(r records) {
	got, err := r.db.EnsureOrg(r.ctx, saba.Org{ID: "org3", Name: "third"})
	r.ok(err)
	want, err := r.db.Org(r.ctx, org1)
	r.ok(err)
	r.same("the first organization", got, want)
	_, err = r.db.Org(r.ctx, "org3")
	r.is(err, saba.ErrNotFound)
}

func testOrgMissing(r records) {
	_, err := r.db.Org(r.ctx, "nowhere")
	r.is(err, saba.ErrNotFound, `"nowhere"`)
}

func testHostRoundTrip(r records) {
	want := r.host("h1", func(h *saba.Host) {
		h.Name, h.DisplayName, h.CustomIdentifier = "app01", "App ☂ one", "i-0123.ec2"
		h.Status, h.Memo, h.RegisteredBy = saba.Standby, "first\nline 'quoted' \"twice\" -- ;", "key1"
		h.Roles = []saba.RoleName{role("api", "web"), role("shop", "db"), role("shop", "web")}
		h.Meta = json.RawMessage("{ \"kernel\" : {\"name\":\"Linux\"},\n\t\"big\":1e+21, \"unknown\":[null,\"\\u0000\"] }")
		h.Interfaces = []saba.Interface{
			{Name: "eth0", MAC: "02:00:00:00:00:05", IPv4: []string{"10.0.0.5"}, IPv6: []string{"fe80::1", "2001:db8::5"}},
			{Name: "lo"},
		}
	})
	r.same("the host", r.readHost("h1"), want)
	hosts, err := r.db.Hosts(r.ctx, org1, saba.HostFilter{})
	r.ok(err)
	r.same("the host in the list", hosts, []saba.Host{want})
	found, err := r.db.HostByCustomIdentifier(r.ctx, org1, "i-0123.ec2", false)
	r.ok(err)
	r.same("the host by its identifier", found, want)
}

func testHostBare(r records) {
	r.host("h1", func(h *saba.Host) { h.Meta = nil })
	h := r.readHost("h1")
	r.same("facts", string(h.Meta), "{}")
	r.same("roles", h.Roles, []saba.RoleName(nil))
	r.same("interfaces", h.Interfaces, []saba.Interface(nil))
	r.same("checks", r.checks("h1"), []saba.Check(nil))
}

func testHostMakesRoles(r records) {
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop", Memo: "the shop"}))
	r.host("h1", roles(role("shop", "web"), role("shop", "db"), role("new", "one"), role("shop", "web")))
	r.same("services", r.services(org1), []saba.Service{
		{Name: "new", Roles: []string{"one"}},
		{Name: "shop", Memo: "the shop", Roles: []string{"db", "web"}},
	})
	r.same("roles", r.readHost("h1").Roles, []saba.RoleName{role("new", "one"), role("shop", "db"), role("shop", "web")})
}

func testHostIDTaken(r records) {
	h := r.host("h1")
	r.is(r.db.CreateHost(r.ctx, h, nil, r.newID), saba.ErrConflict, `"h1"`)
}

func testIdentifierTaken(r records) {
	r.host("h1", identifier("cloud1"))
	err := r.db.CreateHost(r.ctx, saba.Host{ID: "h2", Org: org1, Name: "h2", Status: saba.Working, CreatedAt: noon, CustomIdentifier: "cloud1",
		Roles: []saba.RoleName{role("shop", "web")}}, []saba.CheckDeclaration{{Name: "ssh"}}, r.newID)
	r.is(err, saba.ErrConflict, `"cloud1"`, `"h1"`)
	_, err = r.db.Host(r.ctx, org1, "h2")
	r.is(err, saba.ErrNotFound, `"h2"`)
	r.same("services", r.services(org1), []saba.Service(nil))
	r.host("h3", identifier("CLOUD1")) // another identifier: case matters
}

func testIdentifierUnset(r records) {
	r.host("h1")
	r.host("h2")
	_, err := r.db.HostByCustomIdentifier(r.ctx, org1, "", false)
	r.is(err, saba.ErrNotFound)
	_, err = r.db.HostByCustomIdentifier(r.ctx, org1, "", true)
	r.is(err, saba.ErrNotFound)
}

func testIdentifierOfRetired(r records) {
	r.host("h1", identifier("cloud1"))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon))
	_, err := r.db.HostByCustomIdentifier(r.ctx, org1, "cloud1", false)
	r.is(err, saba.ErrNotFound, `"cloud1"`)
	r.host("h2", identifier("cloud1"))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h2"}, noon)) // two retired hosts may have had one
	r.same("identifier of the retired host", r.readHost("h1").CustomIdentifier, "cloud1")
}

func testIdentifierPerOrg(r records) {
	r.host("h1", identifier("cloud1"))
	r.host("h2", identifier("cloud1"), ofOrg(org2))
	h, err := r.db.HostByCustomIdentifier(r.ctx, org2, "cloud1", false)
	r.ok(err)
	r.same("id", h.ID, "h2")
}

func testIdentifierLookup(r records) {
	r.host("h2", identifier("Cloud/One?"), created(noon+20))
	r.host("h3", identifier("CLOUD/ONE?"), created(noon+10), roles(role("shop", "web")))
	r.host("h1", identifier("cloud/one?"), created(noon+30))
	for _, tt := range []struct {
		ident string
		fold  bool
		want  string
	}{
		{"Cloud/One?", false, "h2"},
		{"cloud/one?", false, "h1"},
		{"cloud/ONE?", true, "h3"},
	} {
		h, err := r.db.HostByCustomIdentifier(r.ctx, org1, tt.ident, tt.fold)
		r.ok(err)
		r.same(fmt.Sprintf("host with %q, fold %t", tt.ident, tt.fold), h.ID, tt.want)
		if h.ID == "h3" {
			r.same("roles", h.Roles, []saba.RoleName{role("shop", "web")})
		}
	}
	_, err := r.db.HostByCustomIdentifier(r.ctx, org1, "cloud/ONE?", false)
	r.is(err, saba.ErrNotFound, `"cloud/ONE?"`)
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h3"}, noon))
	h, err := r.db.HostByCustomIdentifier(r.ctx, org1, "CLOUD/one?", true)
	r.ok(err)
	r.same("oldest live host", h.ID, "h2")
}

func testHostsOrder(r records) {
	r.host("h1", created(noon+10), roles(role("b", "y"), role("a", "z")))
	r.host("h2", created(noon+30), roles(role("a", "z")))
	r.host("h3", created(noon+20))
	r.host("h5", created(noon+20))
	r.host("h4", created(noon+20))
	r.host("h6", created(noon+40))
	r.host("h7", ofOrg(org2))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h6"}, noon))
	r.same("ids", r.hostIDs(saba.HostFilter{}), []string{"h2", "h5", "h4", "h3", "h1"})
	hosts, err := r.db.Hosts(r.ctx, org1, saba.HostFilter{})
	r.ok(err)
	r.same("retired since noon too", r.hostIDs(saba.HostFilter{RetiredSince: noon}), []string{"h6", "h2", "h5", "h4", "h3", "h1"})
	r.same("retired after noon too", r.hostIDs(saba.HostFilter{RetiredSince: noon + 1}), []string{"h2", "h5", "h4", "h3", "h1"})
	r.same("roles of h2", hosts[0].Roles, []saba.RoleName{role("a", "z")})
	r.same("roles of h3", hosts[3].Roles, []saba.RoleName(nil))
	r.same("roles of h1", hosts[4].Roles, []saba.RoleName{role("a", "z"), role("b", "y")})
}

func testHostsFilter(r records) {
	r.host("h1", created(noon+1), roles(role("shop", "web"), role("shop", "db")), identifier("one"))
	r.host("h2", created(noon+2), roles(role("shop", "db")), func(h *saba.Host) { h.Status, h.Name = saba.Standby, "same" })
	r.host("h3", created(noon+3), roles(role("blog", "web")), func(h *saba.Host) { h.Name, h.RegisteredBy = "same", "key1" })
	r.host("h4", created(noon+4), func(h *saba.Host) { h.Status = saba.Maintenance })
	for name, tt := range map[string]struct {
		filter saba.HostFilter
		want   []string
	}{
		"nothing":                    {saba.HostFilter{}, []string{"h4", "h3", "h2", "h1"}},
		"service":                    {saba.HostFilter{Service: "shop"}, []string{"h2", "h1"}},
		"role":                       {saba.HostFilter{Service: "shop", Roles: []string{"web"}}, []string{"h1"}},
		"any of the roles":           {saba.HostFilter{Service: "shop", Roles: []string{"web", "db", "none"}}, []string{"h2", "h1"}},
		"roles without a service":    {saba.HostFilter{Roles: []string{"web"}}, []string{"h4", "h3", "h2", "h1"}},
		"role of another service":    {saba.HostFilter{Service: "blog", Roles: []string{"db"}}, nil},
		"unknown service":            {saba.HostFilter{Service: "nowhere"}, nil},
		"name":                       {saba.HostFilter{Name: "same"}, []string{"h3", "h2"}},
		"part of a name":             {saba.HostFilter{Name: "sam"}, nil},
		"name in other case":         {saba.HostFilter{Name: "SAME"}, nil},
		"status":                     {saba.HostFilter{Statuses: []saba.HostStatus{saba.Standby}}, []string{"h2"}},
		"any of the statuses":        {saba.HostFilter{Statuses: []saba.HostStatus{saba.Standby, saba.Working}}, []string{"h3", "h2", "h1"}},
		"custom identifier":          {saba.HostFilter{CustomIdentifier: "one"}, []string{"h1"}},
		"key that registered it":     {saba.HostFilter{RegisteredBy: "key1"}, []string{"h3"}},
		"name and status":            {saba.HostFilter{Name: "same", Statuses: []saba.HostStatus{saba.Working}}, []string{"h3"}},
		"service, name, role status": {saba.HostFilter{Service: "shop", Roles: []string{"db"}, Name: "same", Statuses: saba.HostStatuses}, []string{"h2"}},
		"nothing fits all":           {saba.HostFilter{Service: "blog", Statuses: []saba.HostStatus{saba.Standby}}, nil},
		"a value that is SQL":        {saba.HostFilter{Name: "' OR '1'='1"}, nil},
	} {
		r.same(name, r.hostIDs(tt.filter), tt.want)
	}
}

func testUpdateKeeps(r records) {
	want := r.host("h1", identifier("one"), roles(role("shop", "web")), func(h *saba.Host) {
		h.DisplayName, h.Memo, h.Status, h.RegisteredBy = "Shown", "memo", saba.Standby, "key1"
		h.Interfaces = []saba.Interface{{Name: "eth0", MAC: "02:00:00:00:00:05"}}
	})
	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(nil), r.newID))
	want.Name, want.Meta = "new", json.RawMessage(`{"a":1}`)
	r.same("the host", r.readHost("h1"), want)
}

func testUpdateReplaces(r records) {
	want := r.host("h1", identifier("one"), func(h *saba.Host) {
		h.DisplayName, h.Memo, h.Interfaces = "Shown", "memo", []saba.Interface{{Name: "eth0"}}
	})
	want.Name, want.Meta = "new", json.RawMessage(`{"a":1}`)
	want.DisplayName, want.Memo, want.CustomIdentifier, want.Interfaces = "Other", "", "two", []saba.Interface{{Name: "eth1"}}
	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) {
		u.DisplayName, u.Memo, u.CustomIdentifier, u.Interfaces = new("Other"), new(""), new("two"), &want.Interfaces
	}), r.newID))
	r.same("the host", r.readHost("h1"), want)
	h, err := r.db.HostByCustomIdentifier(r.ctx, org1, "TWO", true)
	r.ok(err)
	r.same("host by the new identifier", h.ID, "h1")
	_, err = r.db.HostByCustomIdentifier(r.ctx, org1, "one", true)
	r.is(err, saba.ErrNotFound)
	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) { u.Interfaces = new([]saba.Interface{}) }), r.newID))
	r.same("interfaces", r.readHost("h1").Interfaces, []saba.Interface(nil))
}

func testUpdateAddsRoles(r records) {
	r.host("h1", roles(role("shop", "web")))
	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) {
		u.AddRoles = []saba.RoleName{role("shop", "db"), role("new", "one"), role("shop", "web")}
	}), r.newID))
	want := []saba.RoleName{role("new", "one"), role("shop", "db"), role("shop", "web")}
	r.same("roles", r.readHost("h1").Roles, want)
	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) { u.AddRoles = []saba.RoleName{} }), r.newID))
	r.same("roles after an update without any", r.readHost("h1").Roles, want)
}

func testUpdateClearsIdentifier(r records) {
	r.host("h1", identifier("one"))
	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) { u.CustomIdentifier = new("") }), r.newID))
	r.same("identifier", r.readHost("h1").CustomIdentifier, "")
	r.host("h2", identifier("one"))
}

func testUpdateIdentifierTaken(r records) {
	r.host("h1", identifier("one"))
	r.host("h2", identifier("two"))
	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) { u.CustomIdentifier = new("one") }), r.newID))
	err := r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) { u.CustomIdentifier = new("two") }), r.newID)
	r.is(err, saba.ErrConflict, `"two"`, `"h2"`)
}

func testUpdateChecks(r records) {
	h := saba.Host{ID: "h1", Org: org1, Name: "h1", Status: saba.Working, CreatedAt: noon}
	r.ok(r.db.CreateHost(r.ctx, h, []saba.CheckDeclaration{{Name: "ssh", Memo: "port 22"}, {Name: "disk"}}, r.newID))
	r.report(
		saba.CheckReport{Host: "h1", Name: "ssh", Status: saba.CheckOK, OccurredAt: noon},
		saba.CheckReport{Host: "h1", Name: "disk", Status: saba.CheckOK, OccurredAt: noon},
		saba.CheckReport{Host: "h1", Name: "wrapped", Status: saba.CheckOK, OccurredAt: noon},
	)
	before := r.checks("h1")
	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(nil), r.newID))
	r.same("checks after an update without a list", r.checks("h1"), before)

	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) {
		u.Checks = &[]saba.CheckDeclaration{{Name: "ssh", Memo: "port 2222"}, {Name: "load"}}
	}), r.newID))
	checks := r.checks("h1")
	r.same("names", r.checkNames("h1"), []string{"load", "ssh"})
	r.same("memo", checks[1].Memo, "port 2222")
	r.same("id of the check that stayed", checks[1].ID, before[1].ID)
	r.same("its latest report", checks[1].Latest, before[1].Latest)

	// A check of the same name is a new check: it does not inherit reports.
	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) {
		u.Checks = &[]saba.CheckDeclaration{{Name: "disk"}, {Name: "disk", Memo: "twice"}}
	}), r.newID))
	checks = r.checks("h1")
	r.same("names", r.checkNames("h1"), []string{"disk"})
	r.same("memo", checks[0].Memo, "twice")
	r.same("latest report", checks[0].Latest, saba.CheckReport{})

	r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) { u.Checks = &[]saba.CheckDeclaration{} }), r.newID))
	r.same("checks after an empty list", r.checks("h1"), []saba.Check(nil))
}

func testUpdateAllOrNothing(r records) {
	want := r.host("h1")
	boom := errors.New("no randomness")
	err := r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) {
		u.AddRoles, u.Checks = []saba.RoleName{role("shop", "web")}, &[]saba.CheckDeclaration{{Name: "ssh"}}
	}), func() (string, error) { return "", boom })
	r.is(err, boom)
	r.same("the host", r.readHost("h1"), want)
	r.same("services", r.services(org1), []saba.Service(nil))
	r.is(r.db.UpdateHost(r.ctx, org1, "none", update(nil), r.newID), saba.ErrNotFound, `"none"`)
}

func testStatusAllOrNone(r records) {
	r.host("h1")
	r.host("h2")
	r.host("h3", ofOrg(org2))
	r.ok(r.db.SetHostStatus(r.ctx, org1, []string{"h1", "h2"}, saba.Standby))
	r.same("status", r.readHost("h1").Status, saba.Standby)
	r.same("status", r.readHost("h2").Status, saba.Standby)
	r.is(r.db.SetHostStatus(r.ctx, org1, []string{"h1", "none"}, saba.Poweroff), saba.ErrNotFound, `"none"`)
	r.is(r.db.SetHostStatus(r.ctx, org1, []string{"h1", "h3"}, saba.Poweroff), saba.ErrNotFound, `"h3"`)
	r.same("status", r.readHost("h1").Status, saba.Standby)
	r.ok(r.db.SetHostStatus(r.ctx, org1, []string{"h1", "h1"}, saba.Maintenance))
	r.same("status", r.readHost("h1").Status, saba.Maintenance)
	r.ok(r.db.SetHostStatus(r.ctx, org1, nil, saba.Poweroff))
}

func testSetRoles(r records) {
	r.host("h1", roles(role("shop", "web")))
	r.ok(r.db.SetHostRoles(r.ctx, org1, "h1", []saba.RoleName{role("new", "two"), role("new", "one"), role("new", "one")}))
	r.same("roles", r.readHost("h1").Roles, []saba.RoleName{role("new", "one"), role("new", "two")})
	r.ok(r.db.SetHostRoles(r.ctx, org1, "h1", nil))
	r.same("roles", r.readHost("h1").Roles, []saba.RoleName(nil))
	r.same("services", r.services(org1), []saba.Service{{Name: "new", Roles: []string{"one", "two"}}, {Name: "shop", Roles: []string{"web"}}})
	r.is(r.db.SetHostRoles(r.ctx, org1, "none", []saba.RoleName{role("never", "made")}), saba.ErrNotFound, `"none"`)
	r.same("number of services", len(r.services(org1)), 2)
}

func testRetireAllOrNone(r records) {
	r.host("h1")
	r.host("h2")
	r.is(r.db.RetireHosts(r.ctx, org1, []string{"h1", "none"}, noon), saba.ErrNotFound, `"none"`)
	r.same("retired at", r.readHost("h1").RetiredAt, int64(0))
	retired := func(want bool) {
		r.Helper()
		got, err := r.db.HostRetired(r.ctx, org1, "h1")
		r.ok(err)
		r.same("retired", got, want)
	}
	retired(false)
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1", "h2"}, noon+5))
	r.same("retired at", r.readHost("h1").RetiredAt, noon+5)
	retired(true)
	r.same("live hosts", r.hostIDs(saba.HostFilter{}), []string(nil))
}

func testRetireTwice(r records) {
	r.host("h1")
	r.host("h2")
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon+5))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1", "h2"}, noon+9))
	r.same("retired at", r.readHost("h1").RetiredAt, noon+5)
	r.same("retired at", r.readHost("h2").RetiredAt, noon+9)
}

func testRetiredReadOnly(r records) {
	want := r.host("h1", roles(role("shop", "web")))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon+5))
	r.is(r.db.UpdateHost(r.ctx, org1, "h1", update(nil), r.newID), saba.ErrInvalid, `"h1"`, "retired")
	r.is(r.db.SetHostStatus(r.ctx, org1, []string{"h1"}, saba.Poweroff), saba.ErrInvalid, `"h1"`, "retired")
	r.is(r.db.SetHostRoles(r.ctx, org1, "h1", nil), saba.ErrInvalid, `"h1"`, "retired")
	want.RetiredAt = noon + 5
	r.same("the host", r.readHost("h1"), want)
}

func testServices(r records) {
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "web2", Memo: "second"}))
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "Web", Memo: "upper case sorts first"}))
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "web"}))
	r.ok(r.db.CreateRole(r.ctx, org1, "web", saba.Role{Name: "b-role"}))
	r.ok(r.db.CreateRole(r.ctx, org1, "web", saba.Role{Name: "a_role"}))
	r.ok(r.db.CreateService(r.ctx, org2, saba.Service{Name: "theirs"}))
	r.same("services", r.services(org1), []saba.Service{
		{Name: "Web", Memo: "upper case sorts first"},
		{Name: "web", Roles: []string{"a_role", "b-role"}},
		{Name: "web2", Memo: "second"},
	})
}

func testServiceTaken(r records) {
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop"}))
	r.is(r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop", Memo: "again"}), saba.ErrConflict, `"shop"`)
	r.ok(r.db.CreateService(r.ctx, org2, saba.Service{Name: "shop"}))
	r.same("services", r.services(org1), []saba.Service{{Name: "shop"}})
}

func testDeleteService(r records) {
	r.host("h1", roles(role("shop", "web"), role("shop", "db"), role("blog", "web")))
	r.host("h2", ofOrg(org2), roles(role("shop", "web")))
	service, roleOwner := saba.MetadataOwner{Org: org1, Service: "shop"}, saba.MetadataOwner{Org: org1, Service: "shop", Role: "web"}
	doc := saba.Metadata{Namespace: "ns", Value: json.RawMessage(`1`), UpdatedAt: noon}
	r.ok(r.db.PutMetadata(r.ctx, service, doc))
	r.ok(r.db.PutMetadata(r.ctx, roleOwner, doc))

	s, err := r.db.DeleteService(r.ctx, org1, "shop", noon)
	r.ok(err)
	r.same("the service as it was", s, saba.Service{Name: "shop", Roles: []string{"db", "web"}, Series: "shop"})
	r.same("services", r.services(org1), []saba.Service{{Name: "blog", Roles: []string{"web"}}})
	r.same("roles of the host", r.readHost("h1").Roles, []saba.RoleName{role("blog", "web")})
	r.same("services of the other organization", r.services(org2), []saba.Service{{Name: "shop", Roles: []string{"web"}}})

	// The name may come back, and comes back empty.
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop"}))
	r.ok(r.db.CreateRole(r.ctx, org1, "shop", saba.Role{Name: "web"}))
	for _, o := range []saba.MetadataOwner{service, roleOwner} {
		_, err := r.db.Metadata(r.ctx, o, "ns")
		r.is(err, saba.ErrNotFound, `"ns"`)
	}
	_, err = r.db.DeleteService(r.ctx, org1, "none", noon)
	r.is(err, saba.ErrNotFound, `"none"`)
}

func testRoles(r records) {
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop"}))
	r.ok(r.db.CreateRole(r.ctx, org1, "shop", saba.Role{Name: "web", Memo: "in front"}))
	r.ok(r.db.CreateRole(r.ctx, org1, "shop", saba.Role{Name: "db"}))
	got, err := r.db.Roles(r.ctx, org1, "shop")
	r.ok(err)
	r.same("roles", got, []saba.Role{{Name: "db"}, {Name: "web", Memo: "in front"}})
	_, err = r.db.Roles(r.ctx, org1, "none")
	r.is(err, saba.ErrNotFound, `"none"`)
	r.is(r.db.CreateRole(r.ctx, org1, "none", saba.Role{Name: "web"}), saba.ErrNotFound, `"none"`)
}

func testRoleTaken(r records) {
	r.host("h1", roles(role("shop", "web"), role("blog", "db")))
	r.is(r.db.CreateRole(r.ctx, org1, "shop", saba.Role{Name: "web"}), saba.ErrConflict, `"shop"`, `"web"`)
	r.ok(r.db.CreateRole(r.ctx, org1, "blog", saba.Role{Name: "web"}))
}

func testDeleteRole(r records) {
	r.host("h1", roles(role("shop", "web"), role("shop", "db")))
	owner := saba.MetadataOwner{Org: org1, Service: "shop", Role: "web"}
	r.ok(r.db.PutMetadata(r.ctx, owner, saba.Metadata{Namespace: "ns", Value: json.RawMessage(`1`)}))
	got, err := r.db.DeleteRole(r.ctx, org1, "shop", "web")
	r.ok(err)
	r.same("the role as it was", got, saba.Role{Name: "web"})
	r.same("roles of the host", r.readHost("h1").Roles, []saba.RoleName{role("shop", "db")})
	_, err = r.db.MetadataNamespaces(r.ctx, owner)
	r.is(err, saba.ErrNotFound, `"web"`)
	_, err = r.db.DeleteRole(r.ctx, org1, "shop", "web")
	r.is(err, saba.ErrNotFound, `"web"`)
	_, err = r.db.DeleteRole(r.ctx, org1, "none", "web")
	r.is(err, saba.ErrNotFound, `"none"`)
}

func testGraphDefs(r records) {
	cpu := saba.GraphDef{Name: "custom.cpu.#", DisplayName: "CPU of #", Unit: saba.UnitPercentage, Metrics: []saba.GraphDefMetric{
		{Name: "custom.cpu.#.user", DisplayName: "%1 user", Stacked: true},
		{Name: "custom.cpu.#.*"},
	}}
	queue := saba.GraphDef{Name: "custom.queue", Unit: saba.UnitInteger}
	r.ok(r.db.PutGraphDefs(r.ctx, org1, []saba.GraphDef{queue, cpu}))
	r.ok(r.db.PutGraphDefs(r.ctx, org1, []saba.GraphDef{queue, cpu})) // every agent sends the same
	r.ok(r.db.PutGraphDefs(r.ctx, org1, nil))
	r.same("definitions", r.graphDefs(org1), []saba.GraphDef{cpu, queue})

	queue.Unit, queue.DisplayName = saba.UnitBytes, "Queue"
	queue.Metrics = []saba.GraphDefMetric{{Name: "custom.queue.ready"}}
	first := queue
	first.DisplayName = "overruled"
	r.ok(r.db.PutGraphDefs(r.ctx, org1, []saba.GraphDef{first, queue}))
	r.same("definitions", r.graphDefs(org1), []saba.GraphDef{cpu, queue})
	r.same("definitions of the other organization", r.graphDefs(org2), []saba.GraphDef(nil))
}

func (r records) graphDefs(org string) []saba.GraphDef {
	r.Helper()
	defs, err := r.db.GraphDefs(r.ctx, org)
	r.ok(err)
	return defs
}

func testDeleteGraphDef(r records) {
	r.ok(r.db.PutGraphDefs(r.ctx, org1, []saba.GraphDef{{Name: "custom.a", Unit: saba.UnitFloat}, {Name: "custom.*", Unit: saba.UnitFloat}}))
	r.ok(r.db.DeleteGraphDef(r.ctx, org1, "custom.*"))
	r.same("definitions", r.graphDefs(org1), []saba.GraphDef{{Name: "custom.a", Unit: saba.UnitFloat}})
	r.is(r.db.DeleteGraphDef(r.ctx, org1, "custom.*"), saba.ErrNotFound, `"custom.*"`)
	r.is(r.db.DeleteGraphDef(r.ctx, org2, "custom.a"), saba.ErrNotFound, `"custom.a"`)
}

func testForgetGraphDefs(r records) {
	const hour = 60 * 60
	def := func(name string) saba.GraphDef { return saba.GraphDef{Name: name, Unit: saba.UnitFloat} }
	r.ok(r.db.PutGraphDefs(r.ctx, org1, []saba.GraphDef{def("custom.a.*"), def("custom.b.*"), def("custom.c.*")}))
	r.ok(r.db.PutGraphDefs(r.ctx, org2, []saba.GraphDef{def("custom.a.*")}))
	forget := func(want int, at int64, names ...string) {
		r.Helper()
		gone, err := r.db.ForgetGraphDefs(r.ctx, org1, names, at-7*hour, at)
		r.ok(err)
		r.same("definitions forgotten", gone, want)
	}
	r.ok(r.db.SeeGraphDefs(r.ctx, org1, []string{"custom.a.*", "custom.none.*"}, noon))
	forget(0, noon, "custom.a.*", "custom.b.*", "custom.c.*") // those never looked for are seen now
	r.ok(r.db.SeeGraphDefs(r.ctx, org1, []string{"custom.b.*"}, noon+2*hour))
	r.ok(r.db.SeeGraphDefs(r.ctx, org1, []string{"custom.b.*"}, noon)) // the clock was set back
	r.ok(r.db.PutGraphDefs(r.ctx, org1, []saba.GraphDef{def("custom.b.*")}))
	forget(0, noon+7*hour, "custom.a.*", "custom.b.*")
	forget(1, noon+7*hour+1, "custom.a.*", "custom.b.*", "custom.none.*")
	r.same("definitions left", r.graphDefs(org1), []saba.GraphDef{def("custom.b.*"), def("custom.c.*")})
	r.same("definitions of the other organization", r.graphDefs(org2), []saba.GraphDef{def("custom.a.*")})
	// One that comes again starts anew.
	r.ok(r.db.PutGraphDefs(r.ctx, org1, []saba.GraphDef{def("custom.a.*")}))
	forget(0, noon+9*hour, "custom.a.*")
}

func testDeclaredChecks(r records) {
	h := saba.Host{ID: "h1", Org: org1, Name: "h1", Status: saba.Working, CreatedAt: noon}
	r.ok(r.db.CreateHost(r.ctx, h, []saba.CheckDeclaration{{Name: "ssh", Memo: "port 22"}, {Name: "disk"}, {Name: "ssh", Memo: "last counts"}}, r.newID))
	r.same("checks", r.checks("h1"), []saba.Check{
		{ID: "id002", Host: "h1", Name: "disk"},
		{ID: "id001", Host: "h1", Name: "ssh", Memo: "last counts"},
	})
	_, err := r.db.Checks(r.ctx, org1, "none")
	r.is(err, saba.ErrNotFound, `"none"`)
}

func testReportMakesCheck(r records) {
	r.host("h1")
	report := saba.CheckReport{Host: "h1", Name: "backup of /srv ☂", Status: saba.CheckWarning, Message: "slow\nvery", OccurredAt: noon,
		NotificationInterval: 30, MaxCheckAttempts: 3}
	r.report(report)
	r.same("checks", r.checks("h1"), []saba.Check{{ID: "id001", Host: "h1", Name: "backup of /srv ☂", Latest: report}})
}

func testReportLatest(r records) {
	r.host("h1")
	at := func(t int64, s saba.CheckStatus) saba.CheckReport {
		return saba.CheckReport{Host: "h1", Name: "ssh", Status: s, OccurredAt: noon + t}
	}
	r.report(at(60, saba.CheckWarning))
	r.report(at(180, saba.CheckCritical), at(120, saba.CheckOK))
	r.report(at(0, saba.CheckUnknown))
	r.same("latest", r.checks("h1")[0].Latest, at(180, saba.CheckCritical))
	r.report(at(240, saba.CheckOK))
	r.same("latest", r.checks("h1")[0].Latest, at(240, saba.CheckOK))
}

func testReportDuplicate(r records) {
	r.host("h1")
	first := saba.CheckReport{Host: "h1", Name: "ssh", Status: saba.CheckCritical, Message: "first", OccurredAt: noon}
	second := first
	second.Status, second.Message = saba.CheckOK, "second"
	r.report(first, second)
	r.report(second)
	r.same("latest", r.checks("h1")[0].Latest, first)
	other := second
	other.Name = "disk" // the same time of another check is no duplicate
	r.report(other)
	r.same("names", r.checkNames("h1"), []string{"disk", "ssh"})
}

func testReportUnknownHost(r records) {
	r.host("h1")
	r.host("h2", ofOrg(org2))
	r.host("h3")
	r.report(saba.CheckReport{Host: "h3", Name: "ssh", Status: saba.CheckOK, OccurredAt: noon})
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h3"}, noon))
	r.report(
		saba.CheckReport{Host: "none", Name: "ssh", Status: saba.CheckOK, OccurredAt: noon},
		saba.CheckReport{Host: "h2", Name: "ssh", Status: saba.CheckOK, OccurredAt: noon},
		saba.CheckReport{Host: "h3", Name: "ssh", Status: saba.CheckCritical, OccurredAt: noon + 60},
		saba.CheckReport{Host: "h3", Name: "new", Status: saba.CheckCritical, OccurredAt: noon + 60},
		saba.CheckReport{Host: "h1", Name: "ssh", Status: saba.CheckOK, OccurredAt: noon},
	)
	r.same("checks of h1", r.checkNames("h1"), []string{"ssh"})
	r.same("checks of the retired host", r.checkNames("h3"), []string{"ssh"})
	r.same("its latest report", r.checks("h3")[0].Latest.Status, saba.CheckOK)
	theirs, err := r.db.Checks(r.ctx, org2, "h2")
	r.ok(err)
	r.same("checks of the foreign host", theirs, []saba.Check(nil))
}

func testReportMany(r records) {
	r.host("h1")
	var batch []saba.CheckReport
	for i := range int64(1300) {
		batch = append(batch, saba.CheckReport{Host: "h1", Name: "ssh", Status: saba.CheckCritical, OccurredAt: noon + 60*i})
	}
	slices.Reverse(batch[500:1200])
	for part := range slices.Chunk(batch, saba.MaxCheckReports) {
		r.report(part...)
	}
	r.same("latest", r.checks("h1")[0].Latest.OccurredAt, noon+60*1299)
	r.report(saba.CheckReport{Host: "h1", Name: "ssh", Status: saba.CheckOK, OccurredAt: noon - 60})
	r.same("latest", r.checks("h1")[0].Latest.OccurredAt, noon+60*1299)
}

func testCheckList(r records) {
	r.host("h1")
	r.host("h2")
	r.host("h3", ofOrg(org2))
	for _, host := range []string{"h1", "h2"} {
		for _, name := range []string{"c", "b", "a"} { // id001 … id006
			r.report(saba.CheckReport{Host: host, Name: name, Status: saba.CheckOK, OccurredAt: noon})
		}
	}
	r.ok(r.db.ReportChecks(r.ctx, org2, []saba.CheckReport{{Host: "h3", Name: "a", Status: saba.CheckOK, OccurredAt: noon}}, r.newID))
	page := func(from string, limit int) (ids []string) {
		checks, err := r.db.CheckList(r.ctx, org1, from, limit)
		r.ok(err)
		for _, c := range checks {
			r.same("latest of "+c.ID, c.Latest.Status, saba.CheckOK)
			ids = append(ids, c.ID)
		}
		return ids
	}
	r.same("all", page("", 100), []string{"id001", "id002", "id003", "id004", "id005", "id006"})
	r.same("the first two", page("", 2), []string{"id001", "id002"})
	r.same("from an id, itself included", page("id003", 2), []string{"id003", "id004"})
	r.same("from the end", page("id006", 2), []string{"id006"})
	r.same("beyond the end", page("zzz", 2), []string(nil))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon))
	r.same("without the retired host", page("", 100), []string{"id004", "id005", "id006"})
}

func testCheck(r records) {
	r.host("h1")
	report := saba.CheckReport{Host: "h1", Name: "ssh", Status: saba.CheckOK, Message: "fine", OccurredAt: noon}
	r.report(report)
	want := saba.Check{ID: "id001", Host: "h1", Name: "ssh", Latest: report}
	c, err := r.db.Check(r.ctx, org1, "id001")
	r.ok(err)
	r.same("the check", c, want)
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon))
	c, err = r.db.Check(r.ctx, org1, "id001")
	r.ok(err)
	r.same("the check of a retired host", c, want)
	_, err = r.db.Check(r.ctx, org2, "id001")
	r.is(err, saba.ErrNotFound, `"id001"`)
}

func testMetadataVerbatim(r records) {
	r.host("h1")
	owner := saba.MetadataOwner{Org: org1, Host: "h1"}
	for i, value := range []string{
		`null`, `""`, `0`, `-0.0`, `1e400`, `1.0`, "{ \"b\":1,\r\n\t\"a\":2, \"a\":3 }\n", `"\u0000 \ud800 ☂"`, `[` + strings.Repeat(`1,`, 40_000) + `1]`,
	} {
		want := saba.Metadata{Namespace: fmt.Sprintf("ns-%d", i), Value: json.RawMessage(value), UpdatedAt: noon + int64(i)}
		r.ok(r.db.PutMetadata(r.ctx, owner, want))
		got, err := r.db.Metadata(r.ctx, owner, want.Namespace)
		r.ok(err)
		if string(got.Value) != value || got.Namespace != want.Namespace || got.UpdatedAt != want.UpdatedAt {
			r.Errorf("metadata %.60q came back as %.60q, %q at %d", value, got.Value, got.Namespace, got.UpdatedAt)
		}
	}
}

func testMetadataReplace(r records) {
	r.host("h1")
	owner := saba.MetadataOwner{Org: org1, Host: "h1"}
	r.ok(r.db.PutMetadata(r.ctx, owner, saba.Metadata{Namespace: "b", Value: json.RawMessage(`1`), UpdatedAt: noon}))
	want := saba.Metadata{Namespace: "b", Value: json.RawMessage(`2`), UpdatedAt: noon + 9}
	r.ok(r.db.PutMetadata(r.ctx, owner, want))
	r.ok(r.db.PutMetadata(r.ctx, owner, saba.Metadata{Namespace: "a", Value: json.RawMessage(`3`), UpdatedAt: noon}))
	got, err := r.db.Metadata(r.ctx, owner, "b")
	r.ok(err)
	r.same("metadata", got, want)
	names, err := r.db.MetadataNamespaces(r.ctx, owner)
	r.ok(err)
	r.same("namespaces", names, []string{"a", "b"})
	r.ok(r.db.DeleteMetadata(r.ctx, owner, "b"))
	_, err = r.db.Metadata(r.ctx, owner, "b")
	r.is(err, saba.ErrNotFound, `"b"`)
	r.is(r.db.DeleteMetadata(r.ctx, owner, "b"), saba.ErrNotFound, `"b"`)
}

func testMetadataOwners(r records) {
	r.host("h1", roles(role("shop", "web"), role("shop", "db")))
	r.host("h2", ofOrg(org2), roles(role("shop", "web")))
	owners := []saba.MetadataOwner{
		{Org: org1, Host: "h1"}, {Org: org1, Service: "shop"}, {Org: org1, Service: "shop", Role: "web"}, {Org: org1, Service: "shop", Role: "db"},
		{Org: org2, Host: "h2"}, {Org: org2, Service: "shop"}, {Org: org2, Service: "shop", Role: "web"},
	}
	doc := func(i int) saba.Metadata {
		return saba.Metadata{Namespace: "ns", Value: json.RawMessage(fmt.Sprint(i)), UpdatedAt: noon}
	}
	for i, o := range owners {
		r.ok(r.db.PutMetadata(r.ctx, o, doc(i)))
	}
	for i, o := range owners {
		got, err := r.db.Metadata(r.ctx, o, "ns")
		r.ok(err)
		r.same(fmt.Sprintf("metadata of %+v", o), got, doc(i))
	}
	r.ok(r.db.DeleteMetadata(r.ctx, owners[2], "ns"))
	for i, want := range []int{1, 1, 0, 1, 1, 1, 1} {
		names, err := r.db.MetadataNamespaces(r.ctx, owners[i])
		r.ok(err)
		r.same(fmt.Sprintf("number of namespaces of %+v", owners[i]), len(names), want)
	}
}

func testMetadataMissing(r records) {
	r.host("h1", roles(role("shop", "web")))
	for _, tt := range []struct {
		owner   saba.MetadataOwner
		missing string
	}{
		{saba.MetadataOwner{Org: org1, Host: "h1"}, `"ns"`},
		{saba.MetadataOwner{Org: org1, Service: "shop"}, `"ns"`},
		{saba.MetadataOwner{Org: org1, Service: "shop", Role: "web"}, `"ns"`},
		{saba.MetadataOwner{Org: org1, Host: "none"}, `"none"`},
		{saba.MetadataOwner{Org: org2, Host: "h1"}, `"h1"`},
		{saba.MetadataOwner{Org: org1, Service: "none"}, `"none"`},
		{saba.MetadataOwner{Org: org1, Service: "shop", Role: "none"}, `"none"`},
		{saba.MetadataOwner{Org: org1, Service: "none", Role: "web"}, `"none"`},
	} {
		_, err := r.db.Metadata(r.ctx, tt.owner, "ns")
		r.is(err, saba.ErrNotFound, tt.missing)
		r.is(r.db.DeleteMetadata(r.ctx, tt.owner, "ns"), saba.ErrNotFound, tt.missing)
		if tt.missing == `"ns"` {
			continue
		}
		_, err = r.db.MetadataNamespaces(r.ctx, tt.owner)
		r.is(err, saba.ErrNotFound, tt.missing)
		r.is(r.db.PutMetadata(r.ctx, tt.owner, saba.Metadata{Namespace: "ns", Value: json.RawMessage(`1`)}), saba.ErrNotFound, tt.missing)
	}
}

func testMetadataLimits(r records) {
	r.host("h1", roles(role("shop", "web")))
	for _, tt := range []struct {
		owner saba.MetadataOwner
		limit int
	}{
		{saba.MetadataOwner{Org: org1, Host: "h1"}, saba.MaxMetadataNamespaces},
		{saba.MetadataOwner{Org: org1, Service: "shop"}, saba.MaxMetadataNamespaces},
		{saba.MetadataOwner{Org: org1, Service: "shop", Role: "web"}, saba.MaxMetadataRoleNamespaces},
	} {
		doc := func(i int) saba.Metadata {
			return saba.Metadata{Namespace: fmt.Sprintf("ns%d", i), Value: json.RawMessage(`1`)}
		}
		for i := range tt.limit {
			r.ok(r.db.PutMetadata(r.ctx, tt.owner, doc(i)))
		}
		r.is(r.db.PutMetadata(r.ctx, tt.owner, doc(tt.limit)), saba.ErrInvalid, fmt.Sprint(tt.limit))
		r.ok(r.db.PutMetadata(r.ctx, tt.owner, doc(0))) // replacing is not adding
		r.ok(r.db.DeleteMetadata(r.ctx, tt.owner, "ns0"))
		r.ok(r.db.PutMetadata(r.ctx, tt.owner, doc(tt.limit)))

		big := saba.Metadata{Namespace: "ns1", Value: json.RawMessage(`"` + strings.Repeat("x", saba.MaxMetadataSize-2) + `"`)}
		r.ok(r.db.PutMetadata(r.ctx, tt.owner, big))
		big.Value = append(big.Value, '\n')
		r.is(r.db.PutMetadata(r.ctx, tt.owner, big), saba.ErrTooLarge, fmt.Sprint(saba.MaxMetadataSize))
	}
}

func testMetadataRetired(r records) {
	r.host("h1")
	owner := saba.MetadataOwner{Org: org1, Host: "h1"}
	doc := saba.Metadata{Namespace: "ns", Value: json.RawMessage(`1`), UpdatedAt: noon}
	r.ok(r.db.PutMetadata(r.ctx, owner, doc))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon))
	r.is(r.db.PutMetadata(r.ctx, owner, doc), saba.ErrInvalid, "retired")
	r.is(r.db.DeleteMetadata(r.ctx, owner, "ns"), saba.ErrInvalid, "retired")
	got, err := r.db.Metadata(r.ctx, owner, "ns")
	r.ok(err)
	r.same("metadata", got, doc)
}

func (r records) keys(org string) []saba.Key {
	r.Helper()
	keys, err := r.db.Keys(r.ctx, org)
	r.ok(err)
	return keys
}

func testKeys(r records) {
	one := saba.Key{ID: "k1", Org: org1, Name: "web servers", Hash: saba.HashSecret("one"), Read: true, CreatedAt: noon + 9}
	two := saba.Key{ID: "k2", Org: org1, Name: "web servers", Hash: saba.HashSecret("two"), Write: true, CreatedAt: noon}
	three := saba.Key{ID: "k3", Org: org2, Hash: saba.HashSecret("three"), Read: true, Write: true, CreatedAt: noon, UsedAt: noon}
	for _, k := range []saba.Key{one, two, three} {
		r.ok(r.db.CreateKey(r.ctx, k))
		got, err := r.db.KeyByHash(r.ctx, k.Hash)
		r.ok(err)
		r.same("key", got, k)
	}
	r.same("keys", r.keys(org1), []saba.Key{two, one})
	r.same("keys", r.keys(org2), []saba.Key{three})
	again := one
	again.ID = "k4"
	r.is(r.db.CreateKey(r.ctx, again), saba.ErrConflict)
	_, err := r.db.KeyByHash(r.ctx, saba.HashSecret("four"))
	r.is(err, saba.ErrNotFound)
	_, err = r.db.KeyByHash(r.ctx, "")
	r.is(err, saba.ErrNotFound)
}

func testDeleteKey(r records) {
	k := saba.Key{ID: "k1", Org: org1, Hash: saba.HashSecret("one"), CreatedAt: noon}
	r.ok(r.db.CreateKey(r.ctx, k))
	r.host("h1", func(h *saba.Host) { h.RegisteredBy = "k1" })
	r.is(r.db.DeleteKey(r.ctx, org2, "k1"), saba.ErrNotFound, `"k1"`)
	_, err := r.db.KeyByHash(r.ctx, k.Hash)
	r.ok(err)
	r.ok(r.db.DeleteKey(r.ctx, org1, "k1"))
	_, err = r.db.KeyByHash(r.ctx, k.Hash)
	r.is(err, saba.ErrNotFound)
	r.is(r.db.DeleteKey(r.ctx, org1, "k1"), saba.ErrNotFound, `"k1"`)
	r.same("the key that registered the host", r.readHost("h1").RegisteredBy, "k1")
}

func testTouchKey(r records) {
	k := saba.Key{ID: "k1", Org: org1, Hash: saba.HashSecret("one"), CreatedAt: noon}
	r.ok(r.db.CreateKey(r.ctx, k))
	for _, tt := range []struct{ at, want int64 }{
		{noon, noon},
		{noon + 59, noon}, // not worth a write
		{noon + 60, noon + 60},
		{noon - 600, noon + 60}, // a clock that was set back
		{noon + 7200, noon + 7200},
	} {
		r.ok(r.db.TouchKey(r.ctx, "k1", tt.at))
		got, err := r.db.KeyByHash(r.ctx, k.Hash)
		r.ok(err)
		r.same(fmt.Sprintf("last use after %d", tt.at-noon), got.UsedAt-noon, tt.want-noon)
	}
	r.ok(r.db.TouchKey(r.ctx, "deleted", noon))
}

func user(id, email string) saba.User {
	return saba.User{ID: id, Org: org1, Email: email, PasswordHash: "$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA", Authority: saba.Owner, CreatedAt: noon}
}

func testSetup(r records) {
	hash := saba.HashSecret("token")
	_, err := r.db.SetupPending(r.ctx, hash)
	r.is(err, saba.ErrNotFound)
	r.ok(r.db.SetSetupToken(r.ctx, org1, hash))
	org, err := r.db.SetupPending(r.ctx, hash)
	r.ok(err)
	r.same("organization", org, org1)
	_, err = r.db.SetupPending(r.ctx, saba.HashSecret("guess"))
	r.is(err, saba.ErrNotFound)
	r.is(r.db.CompleteSetup(r.ctx, saba.HashSecret("guess"), user("u1", "a@example.com")), saba.ErrNotFound)

	stray := user("u1", "Ann@Example.com")
	stray.Org, stray.Authority = org2, saba.Viewer
	r.ok(r.db.CompleteSetup(r.ctx, hash, stray))
	want := user("u1", "Ann@Example.com") // the token says which organization
	users, err := r.db.Users(r.ctx, org1)
	r.ok(err)
	r.same("accounts", users, []saba.User{want})
	got, err := r.db.User(r.ctx, "u1")
	r.ok(err)
	r.same("account", got, want)
	_, err = r.db.SetupPending(r.ctx, hash)
	r.is(err, saba.ErrNotFound)
	r.is(r.db.CompleteSetup(r.ctx, hash, user("u2", "b@example.com")), saba.ErrNotFound)
	users, err = r.db.Users(r.ctx, org1)
	r.ok(err)
	r.same("number of accounts", len(users), 1)
}

func testSetupReplaced(r records) {
	r.ok(r.db.SetSetupToken(r.ctx, org1, "old"))
	r.ok(r.db.SetSetupToken(r.ctx, org1, "new"))
	_, err := r.db.SetupPending(r.ctx, "old")
	r.is(err, saba.ErrNotFound)
	r.is(r.db.CompleteSetup(r.ctx, "old", user("u1", "a@example.com")), saba.ErrNotFound)
	org, err := r.db.SetupPending(r.ctx, "new")
	r.ok(err)
	r.same("organization", org, org1)
}

func testSetupWithAccount(r records) {
	r.ok(r.db.SetSetupToken(r.ctx, org1, "one"))
	r.ok(r.db.CompleteSetup(r.ctx, "one", user("u1", "a@example.com")))
	r.ok(r.db.SetSetupToken(r.ctx, org1, "two"))
	_, err := r.db.SetupPending(r.ctx, "two")
	r.is(err, saba.ErrNotFound)
	r.is(r.db.CompleteSetup(r.ctx, "two", user("u2", "b@example.com")), saba.ErrNotFound)

	// Another organization's first account may not take the address of an existing one, and
	// its link stays good for another try.
	r.ok(r.db.SetSetupToken(r.ctx, org2, "three"))
	r.is(r.db.CompleteSetup(r.ctx, "three", user("u3", "A@EXAMPLE.COM")), saba.ErrConflict, "A@EXAMPLE.COM")
	org, err := r.db.SetupPending(r.ctx, "three")
	r.ok(err)
	r.same("organization", org, org2)
}

func testUserByEmail(r records) {
	r.ok(r.db.SetSetupToken(r.ctx, org1, "one"))
	want := user("u1", "Jörg@Example.com")
	r.ok(r.db.CompleteSetup(r.ctx, "one", want))
	for _, email := range []string{"Jörg@Example.com", "jörg@example.com", "JÖRG@EXAMPLE.COM"} {
		got, err := r.db.UserByEmail(r.ctx, email)
		r.ok(err)
		r.same(email, got, want)
	}
	for _, email := range []string{"jorg@example.com", "", "%", "jörg@example.com "} {
		_, err := r.db.UserByEmail(r.ctx, email)
		r.is(err, saba.ErrNotFound)
	}
	_, err := r.db.User(r.ctx, "none")
	r.is(err, saba.ErrNotFound, `"none"`)
}

func testSessions(r records) {
	r.ok(r.db.SetSetupToken(r.ctx, org1, "one"))
	r.ok(r.db.CompleteSetup(r.ctx, "one", user("u1", "a@example.com")))
	one := saba.Session{Hash: "s1", User: "u1", Org: org1, CreatedAt: noon, ExpiresAt: noon + 100}
	two := saba.Session{Hash: "s2", User: "u1", Org: org1, CreatedAt: noon, ExpiresAt: noon + 200}
	r.ok(r.db.CreateSession(r.ctx, one))
	r.ok(r.db.CreateSession(r.ctx, two))
	found := func(hash string, now int64) bool {
		s, err := r.db.SessionByHash(r.ctx, hash, now)
		if err == nil && s != one && s != two {
			r.Errorf("session %q is %+v", hash, s)
		}
		if err != nil {
			r.is(err, saba.ErrNotFound)
		}
		return err == nil
	}
	r.same("before it expires", found("s1", noon+99), true)
	r.same("when it expires", found("s1", noon+100), false)
	r.same("unknown", found("s3", noon), false)
	r.ok(r.db.DeleteExpiredSessions(r.ctx, noon+100))
	r.same("expired and forgotten", found("s1", noon), false)
	r.same("the other one", found("s2", noon+100), true)
	r.ok(r.db.DeleteSession(r.ctx, "s2"))
	r.same("ended", found("s2", noon), false)
	r.ok(r.db.DeleteSession(r.ctx, "s2"))
}

func testForeign(r records) {
	r.host("h1", identifier("one"), roles(role("shop", "web")))
	r.report(saba.CheckReport{Host: "h1", Name: "ssh", Status: saba.CheckOK, OccurredAt: noon})
	r.ok(r.db.PutGraphDefs(r.ctx, org1, []saba.GraphDef{{Name: "custom.a", Unit: saba.UnitFloat}}))
	r.ok(r.db.CreateKey(r.ctx, saba.Key{ID: "k1", Org: org1, Hash: "hash", CreatedAt: noon}))
	before := r.readHost("h1")
	ctx, host := r.ctx, saba.MetadataOwner{Org: org2, Host: "h1"}
	for name, call := range map[string]func() error{
		"read a host":               func() error { _, err := r.db.Host(ctx, org2, "h1"); return err },
		"ask whether it is retired": func() error { _, err := r.db.HostRetired(ctx, org2, "h1"); return err },
		"find a host by identifier": func() error { _, err := r.db.HostByCustomIdentifier(ctx, org2, "one", true); return err },
		"update a host":             func() error { return r.db.UpdateHost(ctx, org2, "h1", update(nil), r.newID) },
		"set a status":              func() error { return r.db.SetHostStatus(ctx, org2, []string{"h1"}, saba.Poweroff) },
		"set roles":                 func() error { return r.db.SetHostRoles(ctx, org2, "h1", nil) },
		"retire a host":             func() error { return r.db.RetireHosts(ctx, org2, []string{"h1"}, noon) },
		"delete a service":          func() error { _, err := r.db.DeleteService(ctx, org2, "shop", noon); return err },
		"list roles":                func() error { _, err := r.db.Roles(ctx, org2, "shop"); return err },
		"create a role":             func() error { return r.db.CreateRole(ctx, org2, "shop", saba.Role{Name: "new"}) },
		"delete a role":             func() error { _, err := r.db.DeleteRole(ctx, org2, "shop", "web"); return err },
		"delete a graph definition": func() error { return r.db.DeleteGraphDef(ctx, org2, "custom.a") },
		"list checks":               func() error { _, err := r.db.Checks(ctx, org2, "h1"); return err },
		"read a check":              func() error { _, err := r.db.Check(ctx, org2, "id001"); return err },
		"read metadata":             func() error { _, err := r.db.Metadata(ctx, host, "ns"); return err },
		"put metadata":              func() error { return r.db.PutMetadata(ctx, host, saba.Metadata{Namespace: "ns"}) },
		"delete metadata":           func() error { return r.db.DeleteMetadata(ctx, host, "ns") },
		"list metadata":             func() error { _, err := r.db.MetadataNamespaces(ctx, host); return err },
		"delete a key":              func() error { return r.db.DeleteKey(ctx, org2, "k1") },
	} {
		if err := call(); !errors.Is(err, saba.ErrNotFound) {
			r.Errorf("%s of another organization: error %v, want one matching %q", name, err, saba.ErrNotFound)
		}
	}
	hosts, err := r.db.Hosts(ctx, org2, saba.HostFilter{Service: "shop"})
	r.ok(err)
	r.same("hosts", hosts, []saba.Host(nil))
	checks, err := r.db.CheckList(ctx, org2, "", 10)
	r.ok(err)
	r.same("checks", checks, []saba.Check(nil))
	users, err := r.db.Users(ctx, org2)
	r.ok(err)
	r.same("accounts", users, []saba.User(nil))
	r.same("keys", r.keys(org2), []saba.Key(nil))
	r.same("services", r.services(org2), []saba.Service(nil))
	r.same("graph definitions", r.graphDefs(org2), []saba.GraphDef(nil))
	r.same("the host afterwards", r.readHost("h1"), before)
}

func testCancelled(r records) {
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	r.is(r.db.CreateService(ctx, org1, saba.Service{Name: "shop"}), context.Canceled)
	_, err := r.db.Hosts(ctx, org1, saba.HostFilter{})
	r.is(err, context.Canceled)
	_, err = r.db.KeyByHash(ctx, "hash")
	r.is(err, context.Canceled)
	r.same("services", r.services(org1), []saba.Service(nil))
}
