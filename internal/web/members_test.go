package web

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// linkOn returns the path of the join link on a page.
func linkOn(t *testing.T, g *rig, body string) string {
	t.Helper()
	found := regexp.MustCompile(regexp.QuoteMeta(g.server.URL) + `(/join/[\w-]+)`).FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("the page has no link to join:\n%s", body)
	}
	return found[1]
}

// Where saba sends mail, the link goes to whom it is for; it is shown all the same, and what keeps it back is said.
func TestAnInvitationIsMailed(t *testing.T) {
	g := newRig(t, time.Now)
	g.tester.post = true
	owner := g.signedIn()
	for _, tt := range []struct {
		path, email, says, not string
	}{
		{"/members", "guest@example.test", "It was mailed to them.", "saba sends no mail"},
		{"/members/link", "Guest@example.test", "It was mailed to them.", "Send it to them"},
		{"/members", "full@example.test", "its mailbox is full", "It was mailed"},
	} {
		code, _, body := g.post(owner, tt.path, url.Values{"email": {tt.email}, "authority": {"viewer"}})
		link := linkOn(t, g, body)
		if contains(t, body, tt.says); code != http.StatusOK || strings.Contains(body, tt.not) {
			t.Errorf("%s of %s answered %d, or says %q", tt.path, tt.email, code, tt.not)
		}
		if n := len(g.tester.mailed); tt.email != "full@example.test" && g.tester.mailed[n-1] != "guest@example.test viewer "+link {
			t.Errorf("mailed was %q, want the link %s", g.tester.mailed, link)
		}
	}
	if code, _, _ := g.post(owner, "/members/link", url.Values{"email": {"nobody@example.test"}}); code != http.StatusNotFound {
		t.Errorf("a link for nobody answered %d, want 404", code)
	}
}

func TestAnInvitationIsAcceptedOnce(t *testing.T) {
	g := newRig(t, time.Now)
	owner := g.signedIn()
	code, _, body := g.post(owner, "/members", url.Values{"email": {"guest@example.test"}, "authority": {"viewer"}})
	if code != http.StatusOK {
		t.Fatalf("invite: %d", code)
	}
	first := linkOn(t, g, body)
	_, _, body = g.post(owner, "/members/link", url.Values{"email": {"guest@example.test"}})
	link := linkOn(t, g, body)
	_, _, body = g.get(owner, "/members")
	if contains(t, body, testEmail, "guest@example.test", "New link"); strings.Contains(body, "/join/") {
		t.Error("the link is shown twice")
	}

	guest := g.client()
	if code, _, body := g.get(guest, first); code != http.StatusNotFound || !strings.Contains(body, "opens nothing") {
		t.Errorf("the link that was replaced: %d, want 404", code)
	}
	code, _, body = g.get(guest, link)
	if contains(t, body, "Join test", "guest@example.test", "viewer", "new-password"); code != http.StatusOK || strings.Contains(body, "<script src=\"http") {
		t.Errorf("the link: %d", code)
	}
	if code, _, body = g.post(guest, link, url.Values{"password": {"short"}}); code != http.StatusBadRequest || !strings.Contains(body, "at least 10 characters") {
		t.Errorf("a short password: %d", code)
	}
	if code, at, _ := g.post(guest, link, url.Values{"password": {testPassword}, "email": {"else@example.test"}, "authority": {"owner"}}); code != http.StatusOK || at != "/hosts" {
		t.Fatalf("join: %d at %s, want the host list", code, at)
	}
	u, err := g.records.UserByEmail(t.Context(), "guest@example.test")
	if err != nil || u.Authority != saba.Viewer || u.Org != g.org.ID {
		t.Errorf("the account is %+v (%v), want a viewer", u, err)
	}
	for _, do := range []func() (int, string, string){
		func() (int, string, string) { return g.get(g.client(), link) },
		func() (int, string, string) { return g.post(g.client(), link, url.Values{"password": {testPassword}}) },
	} {
		if code, _, _ := do(); code != http.StatusNotFound {
			t.Errorf("the link once more: %d, want 404", code)
		}
	}
	again := g.client()
	if code, at, _ := g.post(again, "/login", url.Values{"email": {"GUEST@example.test"}, "password": {testPassword}}); code != http.StatusOK || at != "/hosts" {
		t.Errorf("sign in: %d at %s", code, at)
	}
}

func TestWhoMayNotBeInvited(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	invite := func(email, authority string) (int, string) {
		code, _, body := g.post(c, "/members", url.Values{"email": {email}, "authority": {authority}})
		return code, body
	}
	invite("guest@example.test", "viewer")
	for _, tt := range []struct {
		email, authority, saying string
		code                     int
	}{
		{"guest@example.test", "viewer", "invited already", http.StatusConflict},
		{testEmail, "viewer", "account", http.StatusConflict},
		{"nobody", "viewer", "not an email address", http.StatusBadRequest},
		{"new@example.test", "owner", "authority", http.StatusBadRequest},
		{"new@example.test", "", "authority", http.StatusBadRequest},
		{strings.Repeat("x", 300) + "@example.test", "viewer", "not an email address", http.StatusBadRequest},
	} {
		if code, body := invite(tt.email, tt.authority); code != tt.code || !strings.Contains(body, tt.saying) || strings.Contains(body, "/join/") {
			t.Errorf("inviting %.40s as %q: %d, want %d and %q", tt.email, tt.authority, code, tt.code, tt.saying)
		}
	}
	if code, _, _ := g.post(c, "/members/link", url.Values{"email": {"none@example.test"}}); code != http.StatusNotFound {
		t.Errorf("a link for nobody: %d, want 404", code)
	}
}

func TestAnInvitationEnds(t *testing.T) {
	var clock atomic.Int64
	clock.Store(1_800_000_000)
	g := newRig(t, func() time.Time { return time.Unix(clock.Load(), 0) })
	c := g.signedIn()
	_, _, body := g.post(c, "/members", url.Values{"email": {"a@example.test"}, "authority": {"manager"}})
	revoked := linkOn(t, g, body)
	_, _, body = g.post(c, "/members", url.Values{"email": {"b@example.test"}, "authority": {"manager"}})
	late := linkOn(t, g, body)
	for range 2 { // twice is fine
		if code, at, _ := g.post(c, "/members/revoke", url.Values{"email": {"a@example.test"}}); code != http.StatusOK || at != "/members" {
			t.Errorf("revoke: %d at %s", code, at)
		}
	}
	if code, _, _ := g.get(g.client(), revoked); code != http.StatusNotFound {
		t.Errorf("a revoked link: %d, want 404", code)
	}
	clock.Add(saba.InvitationLife - 1)
	if code, _, _ := g.get(g.client(), late); code != http.StatusOK {
		t.Errorf("a link of almost seven days: %d, want 200", code)
	}
	clock.Add(1)
	if code, _, _ := g.post(g.client(), late, url.Values{"password": {testPassword}}); code != http.StatusNotFound {
		t.Errorf("a link of seven days: %d, want 404", code)
	}
}

func TestGuessedInvitationsAreLimited(t *testing.T) {
	g := newRig(t, func() time.Time { return time.Unix(1_800_000_000, 0) })
	c := g.signedIn()
	_, _, body := g.post(c, "/members", url.Values{"email": {"a@example.test"}, "authority": {"viewer"}})
	link := linkOn(t, g, body)
	stranger := g.client()
	for i := range failureBurst {
		if code, _, _ := g.get(stranger, "/join/guess"); code != http.StatusNotFound {
			t.Fatalf("guess %d: %d, want 404", i, code)
		}
	}
	resp, err := stranger.Post(g.server.URL+link, "application/x-www-form-urlencoded", strings.NewReader("password="+url.QueryEscape(testPassword)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("after %d guesses: %d, Retry-After %q (%v); want 429", failureBurst, resp.StatusCode, resp.Header.Get("Retry-After"), err)
	}
}

// What an account may do follows from its authority, on every route.
func TestAuthorities(t *testing.T) {
	g := newRig(t, time.Now)
	h, other := g.host(saba.Host{Name: "web-1"}), g.host(saba.Host{Name: "web-2"}) // the first is retired by the way
	for _, a := range []saba.Authority{saba.Manager, saba.Collaborator, saba.Viewer} {
		c := g.signedInAs(a)
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		for _, rt := range routes {
			if rt.method == "" || rt.want == saba.Anyone || rt.pattern == "/logout" {
				continue
			}
			req, err := http.NewRequest(rt.method, g.server.URL+concrete(rt.pattern, h), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			allowed := rt.want == saba.Read || rt.want == saba.ReadWrite && a != saba.Viewer || rt.want == saba.Manage && a == saba.Manager
			if (resp.StatusCode == http.StatusForbidden) == allowed {
				t.Errorf("%s %s answers a %s with %d", rt.method, rt.pattern, a, resp.StatusCode)
			}
		}
		_, _, body := g.get(c, "/hosts/"+other.ID)
		for path, shown := range map[string]bool{"/keys": a == saba.Manager, "/members": a == saba.Manager, "/hosts/new": a == saba.Manager, "/hosts/" + other.ID + "/retire": a != saba.Viewer} {
			if strings.Contains(body, `href="`+path+`"`) != shown {
				t.Errorf("the page of a %s shows the way to %s: %t, want %t", a, path, !shown, shown)
			}
		}
	}
	if code, _, body := g.get(g.signedInAs(saba.Viewer+"2"), "/hosts"); code != http.StatusOK || strings.Contains(body, "/keys") {
		t.Errorf("an authority that is not known: %d, want that it may look", code)
	}
}

func TestTheConsoleHeedsItsNetworks(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	set := func(cidrs ...string) {
		t.Helper()
		if err := g.records.SetNetworks(t.Context(), g.org.ID, saba.SurfaceWeb, cidrs); err != nil {
			t.Fatal(err)
		}
	}
	from := func(c *http.Client, address string) (int, string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, g.server.URL+"/hosts", nil)
		if err != nil {
			t.Fatal(err)
		}
		if address != "" {
			req.Header.Set("X-Forwarded-For", address)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		code, _, body := g.read(resp)
		return code, body
	}
	set("192.0.2.0/24")
	for address, want := range map[string]int{"192.0.2.7": 200, "::ffff:192.0.2.7": 200, "198.51.100.1": 403, "2001:db8::1": 403, "": 403} {
		if code, _ := from(c, address); code != want {
			t.Errorf("from %q: %d, want %d", address, code, want)
		}
	}
	_, body := from(c, "198.51.100.1")
	if contains(t, body, "198.51.100.1", "/api/v0/settings/ip-restriction/web"); strings.Contains(body, testEmail) {
		t.Error("the refusal shows the menu of whoever is signed in")
	}
	if code, _, _ := g.get(c, "/static/0/app.css"); code == http.StatusForbidden {
		t.Error("the style sheet of the refusal is refused")
	}
	if code, _, body := g.get(c, "/hosts/x/graphs.json"); code != http.StatusForbidden || !strings.HasPrefix(body, `{"error"`) {
		t.Errorf("what scripts ask for: %d %.80s, want 403 as JSON", code, body)
	}
	set("2001:db8::/32", "127.0.0.1/32", "::1/128")
	if code, _ := from(c, ""); code != http.StatusOK {
		t.Errorf("from this machine: %d, want 200", code)
	}
	set()
	if code, _ := from(c, "198.51.100.1"); code != http.StatusOK {
		t.Errorf("without a restriction: %d, want 200", code)
	}
}

func TestALoginFromElsewhereMakesNoSession(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.client()
	if code, _, _ := g.post(c, "/setup/"+testToken, url.Values{"email": {testEmail}, "password": {testPassword}}); code != http.StatusOK {
		t.Fatalf("set up: %d", code)
	}
	if err := g.records.SetNetworks(t.Context(), g.org.ID, saba.SurfaceWeb, []string{"192.0.2.0/24"}); err != nil {
		t.Fatal(err)
	}
	elsewhere := g.client()
	elsewhere.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := elsewhere.PostForm(g.server.URL+"/login", url.Values{"email": {testEmail}, "password": {testPassword}})
	if err != nil {
		t.Fatal(err)
	}
	if code, _, _ := g.read(resp); code != http.StatusForbidden || len(resp.Cookies()) > 0 {
		t.Errorf("a login from elsewhere: %d and %d cookies, want 403 and none", code, len(resp.Cookies()))
	}
}

func TestTroublesAreShownToThoseWhoManage(t *testing.T) {
	g := newRig(t, time.Now)
	h := g.host(saba.Host{Name: "web-1"})
	trouble := "The disk is <nearly> full."
	g.trouble.Store(&trouble)
	const shown = "The disk is &lt;nearly&gt; full."
	manager, viewer := g.signedInAs(saba.Manager), g.signedInAs(saba.Viewer)
	for _, path := range []string{"/hosts", "/hosts/" + h.ID, "/hosts/new", "/services", "/keys", "/members", "/nowhere", "/hosts/" + h.ID + "/retire"} {
		_, _, body := g.get(manager, path)
		contains(t, body, shown)
	}
	if _, _, body := g.get(viewer, "/hosts"); strings.Contains(body, "The disk") {
		t.Error("a viewer is told what a viewer cannot mend")
	}
	if _, _, body := g.get(g.client(), "/login"); strings.Contains(body, "The disk") {
		t.Error("a stranger is told")
	}
	g.trouble.Store(nil)
	if _, _, body := g.get(manager, "/hosts"); strings.Contains(body, "The disk") {
		t.Error("a trouble that is over is still shown")
	}
}

func TestAMemberIsRemoved(t *testing.T) {
	g := newRig(t, time.Now)
	owner, viewer := g.signedIn(), g.signedInAs(saba.Viewer)
	members, err := g.records.Members(t.Context(), g.org.ID)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[saba.Authority]string{}
	for _, m := range members {
		ids[m.Authority] = m.ID
	}
	at := "/members/" + ids[saba.Viewer] + "/remove"
	_, _, body := g.get(owner, "/members")
	if contains(t, body, `href="`+at+`"`); strings.Contains(body, ids[saba.Owner]+"/remove") {
		t.Error("the owner can be removed")
	}
	if code, _, _ := g.post(owner, "/members/"+ids[saba.Owner]+"/remove", nil); code != http.StatusForbidden {
		t.Errorf("removing the owner: %d, want 403", code)
	}
	code, _, body := g.get(owner, at)
	if contains(t, body, "viewer@example.test", "signed out at once"); code != http.StatusOK {
		t.Errorf("the question: %d", code)
	}
	if code, to, _ := g.post(owner, at, nil); code != http.StatusOK || to != "/members" {
		t.Errorf("the removal: %d at %s", code, to)
	}
	if _, to, _ := g.get(viewer, "/hosts"); !strings.HasPrefix(to, "/login") {
		t.Errorf("the removed member is at %s, want the login page", to)
	}
	for _, do := range []func() (int, string, string){
		func() (int, string, string) { return g.get(owner, at) },
		func() (int, string, string) { return g.post(owner, at, nil) },
	} {
		if code, _, _ := do(); code != http.StatusNotFound {
			t.Errorf("once more: %d, want 404", code)
		}
	}
}

// idsOf returns the ids of the members by their authority.
func (g *rig) idsOf() map[saba.Authority]string {
	g.t.Helper()
	members, err := g.records.Members(g.t.Context(), g.org.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	ids := map[saba.Authority]string{}
	for _, m := range members {
		ids[m.Authority] = m.ID
	}
	return ids
}

func TestTheAuthorityOfAMemberIsChanged(t *testing.T) {
	g := newRig(t, time.Now)
	owner, manager, guest := g.signedIn(), g.signedInAs(saba.Manager), g.signedInAs(saba.Viewer)
	ids := g.idsOf()
	at := func(a saba.Authority) string { return "/members/" + ids[a] + "/authority" }
	is := func(what string, a saba.Authority, want saba.Authority) {
		t.Helper()
		if u, err := g.records.User(t.Context(), ids[a]); err != nil || u.Authority != want {
			t.Errorf("%s: the %s that was is %s (%v), want %s", what, a, u.Authority, err, want)
		}
	}
	_, _, body := g.get(manager, "/members")
	if contains(t, body, `href="`+at(saba.Viewer)+`"`); strings.Contains(body, at(saba.Owner)) || strings.Contains(body, at(saba.Manager)) {
		t.Error("a manager is shown the way to change the owner's authority, or their own")
	}
	code, _, body := g.get(manager, at(saba.Viewer))
	if contains(t, body, "viewer@example.test", `<option selected>viewer<`, `<option>manager<`); code != http.StatusOK || strings.Contains(body, `>owner<`) {
		t.Errorf("the page for a manager: %d; want it without the choice of an owner", code)
	}
	for _, tt := range []struct {
		what  string
		c     *http.Client
		whose saba.Authority
		to    saba.Authority
		code  int
		says  string
	}{
		{"a manager of themselves", manager, saba.Manager, saba.Viewer, http.StatusForbidden, "nobody changes their own authority"},
		{"the owner of themselves", owner, saba.Owner, saba.Viewer, http.StatusForbidden, "nobody changes their own authority"},
		{"a manager of the owner", manager, saba.Owner, saba.Viewer, http.StatusForbidden, "owns the organization"},
		{"a manager makes an owner", manager, saba.Viewer, saba.Owner, http.StatusForbidden, "only the owner"},
		{"no authority", manager, saba.Viewer, "king", http.StatusBadRequest, "Authority must be one of"},
	} {
		code, _, body := g.post(tt.c, at(tt.whose), url.Values{"authority": {string(tt.to)}})
		if contains(t, body, tt.says); code != tt.code {
			t.Errorf("%s: %d, want %d", tt.what, code, tt.code)
		}
		is(tt.what, tt.whose, tt.whose)
	}
	if code, to, _ := g.post(manager, at(saba.Viewer), url.Values{"authority": {"collaborator"}}); code != http.StatusOK || to != "/members" {
		t.Errorf("the change: %d at %s", code, to)
	}
	is("after the change", saba.Viewer, saba.Collaborator)
	if code, _, _ := g.get(guest, "/monitors/new"); code != http.StatusOK {
		t.Errorf("a viewer who became a collaborator may not make a monitor: %d", code)
	}

	_, _, body = g.get(owner, at(saba.Viewer))
	contains(t, body, `<option>owner<`, "you become a manager")
	if code, to, _ := g.post(owner, at(saba.Viewer), url.Values{"authority": {"owner"}}); code != http.StatusOK || to != "/members" {
		t.Errorf("handing over: %d at %s", code, to)
	}
	is("after handing over", saba.Viewer, saba.Owner)
	is("after handing over", saba.Owner, saba.Manager)
	if code, _, _ := g.get(owner, "/members/none/authority"); code != http.StatusNotFound {
		t.Errorf("the authority of nobody: %d, want 404", code)
	}
}

func TestTheNetworksOfTheConsoleAreSet(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedInAs(saba.Manager)
	stored := func() string {
		t.Helper()
		cidrs, err := g.records.Networks(t.Context(), g.org.ID, saba.SurfaceWeb)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(cidrs, " ")
	}
	_, _, body := g.get(c, "/hosts")
	contains(t, body, `href="/networks"`)
	_, _, body = g.get(c, "/networks")
	contains(t, body, "You come from 127.0.0.1", "from everywhere")
	code, to, body := g.post(c, "/networks", url.Values{"networks": {"127.0.0.9/8\r\n\r\n  2001:db8::1 \n192.0.2.0/24"}})
	if contains(t, body, "Saved.", "127.0.0.0/8\n2001:db8::1/128\n192.0.2.0/24"); code != http.StatusOK || to != "/networks?saved=1" {
		t.Errorf("saving: %d at %s", code, to)
	}
	const want = "127.0.0.0/8 2001:db8::1/128 192.0.2.0/24"
	for typed, says := range map[string]string{
		"127.0.0.1\n192.0.2.0/33": "Line 2 must be a network such as 192.0.2.0/24 or an address, not &#34;192.0.2.0/33&#34;.",
		"<b>":                     "not &#34;&lt;b&gt;&#34;.",
		"fe80::1%eth0":            "Line 1 must be a network",
		"192.0.2.0/24":            "must hold the address that you come from (127.0.0.1)",
		strings.Repeat("127.0.0.1\n", saba.MaxReferences+1): "networks at the most",
	} {
		code, _, body := g.post(c, "/networks", url.Values{"networks": {typed}})
		if contains(t, body, says); code != http.StatusBadRequest || stored() != want {
			t.Errorf("saving %.40q: %d, and %q is stored; want 400 and what there was", typed, code, stored())
		}
	}
	if code, _, body := g.post(c, "/networks", nil); code != http.StatusBadRequest || !strings.Contains(body, "did not arrive whole") || stored() != want {
		t.Errorf("a form without its field: %d, and %q is stored", code, stored())
	}
	if code, _, _ := g.post(c, "/networks", url.Values{"networks": {" \n"}}); code != http.StatusOK || stored() != "" {
		t.Errorf("lifting the restriction: %d, and %q is stored", code, stored())
	}
}
