package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
)

// membersPage is page/members.html.
type membersPage struct {
	layout
	Members     []saba.Member
	Self        string // id of the account that looks
	Invitations []invitationRow
	Authorities []saba.Authority // that somebody may be invited with
	Link        string           // of the invitation that was just made or got a new one; "" otherwise
	For         string           // whose it is
	Mailed      bool             // it was sent there as well
	Unmailed    string           // why it was not, in a sentence, where mail is sent; "" otherwise
	Days        int64            // for how many days it is good

	Typed  string // the address, as it was typed
	Chosen saba.Authority
	Error  string
}

// An invitationRow is an invitation that is good.
type invitationRow struct {
	saba.Invitation
	Left string // how long it still is
}

func (c *console) memberList(w http.ResponseWriter, r *http.Request, v visitor) error {
	return c.showMembers(w, r, v, http.StatusOK, membersPage{})
}

func (c *console) showMembers(w http.ResponseWriter, r *http.Request, v visitor, code int, p membersPage) error {
	p.layout = layoutFor(v, "members", "Members")
	p.Self = v.User
	p.Scripts = p.Link != ""
	p.Days = saba.InvitationLife / day
	p.Authorities = []saba.Authority{saba.Viewer, saba.Collaborator, saba.Manager}
	if p.Chosen == "" {
		p.Chosen = saba.Collaborator
	}
	var err error
	if p.Members, err = c.Store.Members(r.Context(), v.Org); err != nil {
		return fmt.Errorf("list members: %w", err)
	}
	now := c.Now().Unix()
	invitations, err := c.Store.Invitations(r.Context(), v.Org, now)
	if err != nil {
		return fmt.Errorf("list invitations: %w", err)
	}
	for _, i := range invitations {
		p.Invitations = append(p.Invitations, invitationRow{i, span(i.ExpiresAt - now)})
	}
	return c.render(w, r, code, "members", p)
}

// memberInvite keeps an invitation, mails its link where saba sends mail, and shows it: otherwise whoever invites hands it over.
func (c *console) memberInvite(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	now := c.Now().Unix()
	i := saba.Invitation{Email: strings.TrimSpace(r.PostForm.Get("email")), Authority: saba.Authority(r.PostForm.Get("authority")), ExpiresAt: now + saba.InvitationLife}
	err := validEmail(i.Email)
	if err == nil {
		err = i.Check()
	}
	if err == nil {
		err = c.Store.Invite(r.Context(), v.Org, i, now)
	}
	if err != nil {
		if status(err) >= http.StatusInternalServerError {
			return err
		}
		if len(i.Email) > maxEmail {
			i.Email = ""
		}
		return c.showMembers(w, r, v, status(err), membersPage{Typed: i.Email, Chosen: i.Authority, Error: sentence(err)})
	}
	c.Log.Info("somebody was invited", "email", i.Email, "authority", i.Authority, "by", v.User)
	return c.showLink(w, r, v, i)
}

// showLink makes a link for an invitation, in place of the one that it had, mails it, and shows it this once.
func (c *console) showLink(w http.ResponseWriter, r *http.Request, v visitor, i saba.Invitation) error {
	token, hash, err := c.newSecret()
	if err != nil {
		return err
	}
	if err := c.Store.LinkInvitation(r.Context(), v.Org, i.Email, hash, c.Now().Unix()); err != nil {
		return err
	}
	p := membersPage{Link: c.baseURL(r) + "/join/" + token, For: i.Email}
	if c.Notifier != nil {
		switch err := c.Notifier.InviteByMail(r.Context(), i, token); {
		case err == nil:
			p.Mailed = true
			c.Log.Info("an invitation was mailed", "email", i.Email)
		case !errors.Is(err, saba.ErrUnavailable):
			p.Unmailed = sentence(err)
			c.Log.Warn("an invitation was not mailed; its link was shown to whoever invites", "email", i.Email, "error", err)
		}
	}
	return c.showMembers(w, r, v, http.StatusOK, p)
}

func (c *console) memberLink(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	email := r.PostForm.Get("email")
	all, err := c.Store.Invitations(r.Context(), v.Org, c.Now().Unix())
	if err != nil {
		return fmt.Errorf("list invitations: %w", err)
	}
	i := slices.IndexFunc(all, func(i saba.Invitation) bool { return strings.EqualFold(i.Email, email) })
	if i < 0 {
		return saba.Errorf(saba.ErrNotFound, "There is no invitation of %q any more: it was accepted or revoked, or has ended.", clip(email))
	}
	return c.showLink(w, r, v, all[i])
}

func (c *console) memberRevoke(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	email := r.PostForm.Get("email")
	err := c.Store.RevokeInvitation(r.Context(), v.Org, email, c.Now().Unix())
	if err != nil && !errors.Is(err, saba.ErrNotFound) { // it was revoked, accepted or late: gone in any case
		return err
	}
	c.Log.Info("an invitation was revoked", "email", email, "by", v.User)
	http.Redirect(w, r, "/members", http.StatusSeeOther)
	return nil
}

// member returns the member whose id the address holds.
func (c *console) member(r *http.Request, v visitor) (saba.Member, error) {
	members, err := c.Store.Members(r.Context(), v.Org)
	if err != nil {
		return saba.Member{}, fmt.Errorf("list members: %w", err)
	}
	i := slices.IndexFunc(members, func(m saba.Member) bool { return m.ID == r.PathValue("id") })
	if i < 0 {
		return saba.Member{}, saba.Errorf(saba.ErrNotFound, "There is no such member: the account may have been deleted already.")
	}
	return members[i], nil
}

// authorityPage is page/authority.html.
type authorityPage struct {
	layout
	Crumbs  []crumb
	Member  saba.Member
	Choices []saba.Authority
	Owns    bool // the visitor may hand the organization over
	Error   string
}

func (c *console) memberAuthority(w http.ResponseWriter, r *http.Request, v visitor) error {
	m, err := c.member(r, v)
	if err != nil {
		return err
	}
	return c.showAuthority(w, r, v, http.StatusOK, m, nil)
}

func (c *console) showAuthority(w http.ResponseWriter, r *http.Request, v visitor, code int, m saba.Member, wrong error) error {
	p := authorityPage{layout: layoutFor(v, "members", "Authority of "+m.Email), Crumbs: []crumb{{"Members", "/members"}}, Member: m,
		Choices: []saba.Authority{saba.Viewer, saba.Collaborator, saba.Manager}, Owns: v.user.Authority == saba.Owner}
	if p.Owns {
		p.Choices = append(p.Choices, saba.Owner)
	}
	if wrong != nil {
		p.Error = sentence(wrong)
	}
	return c.render(w, r, code, "authority", p)
}

func (c *console) memberAuthorityDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	m, err := c.member(r, v)
	if err != nil {
		return err
	}
	to := saba.Authority(r.PostForm.Get("authority"))
	if _, err := c.Store.SetAuthority(r.Context(), v.Org, m.ID, to, v.User); err != nil {
		if status(err) >= http.StatusInternalServerError {
			return err
		}
		return c.showAuthority(w, r, v, status(err), m, err)
	}
	c.Log.Info("the authority of a member was changed", "email", m.Email, "from", m.Authority, "to", to, "by", v.User)
	http.Redirect(w, r, "/members", http.StatusSeeOther)
	return nil
}

func (c *console) memberRemove(w http.ResponseWriter, r *http.Request, v visitor) error {
	m, err := c.member(r, v)
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "confirm", confirmPage{
		layout: layoutFor(v, "members", "Remove "+m.Email+"?"), Crumbs: []crumb{{"Members", "/members"}},
		Text: []string{
			"The account is deleted, and whoever is signed in with it is signed out at once.",
			"API keys stay good: revoke those that this person knows.",
		},
		Action: "/members/" + m.ID + "/remove", Do: "Remove this member", Back: "/members",
	})
}

func (c *console) memberRemoveDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	m, err := c.Store.DeleteMember(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	c.Log.Info("a member was removed", "email", m.Email, "by", v.User)
	http.Redirect(w, r, "/members", http.StatusSeeOther)
	return nil
}

// joinPage is page/join.html.
type joinPage struct {
	layout
	Action     string
	Invitation saba.Invitation
	Org        string
	Error      string
}

// invitation returns what the token of the address invites to. Without an error and without ok, the answer was given: there is no
// such invitation, or whoever asks has tried too many.
func (c *console) invitation(w http.ResponseWriter, r *http.Request) (p joinPage, ok bool, err error) {
	from := "address " + address(r)
	if c.failures.tooMany(c.Now(), from) {
		w.Header().Set("Retry-After", "20")
		return p, false, c.render(w, r, http.StatusTooManyRequests, "error", errorPage{layout: layout{Title: "Too many tries"}, Code: http.StatusTooManyRequests,
			Heading: headings[http.StatusTooManyRequests], Text: "Wait a minute, then open the link again."})
	}
	org, i, err := c.Store.InvitationByHash(r.Context(), saba.HashSecret(r.PathValue("token")), c.Now().Unix())
	if errors.Is(err, saba.ErrNotFound) {
		c.failures.failed(c.Now(), from)
		return p, false, c.deadInvitation(w, r)
	}
	if err != nil {
		return p, false, err
	}
	o, err := c.Store.Org(r.Context(), org)
	if err != nil {
		return p, false, err
	}
	p = joinPage{layout: layout{Title: "Join"}, Action: r.URL.EscapedPath(), Invitation: i, Org: o.Name}
	if o.DisplayName != "" {
		p.Org = o.DisplayName
	}
	return p, true, nil
}

func (c *console) deadInvitation(w http.ResponseWriter, r *http.Request) error {
	return c.render(w, r, http.StatusNotFound, "deadlink", deadLink{layout: layout{Title: "Invitation"}, Invitation: true})
}

func (c *console) joinShow(w http.ResponseWriter, r *http.Request, _ visitor) error {
	p, ok, err := c.invitation(w, r)
	if !ok || err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "join", p)
}

func (c *console) joinDo(w http.ResponseWriter, r *http.Request, _ visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	p, ok, err := c.invitation(w, r) // before the password is hashed, which is dear
	if !ok || err != nil {
		return err
	}
	password := r.PostForm.Get("password")
	if err := validPassword(password); err != nil {
		p.Error = sentence(err)
		return c.render(w, r, http.StatusBadRequest, "join", p)
	}
	u := saba.User{CreatedAt: c.Now().Unix()}
	if u.ID, err = c.newID(); err != nil {
		return err
	}
	if u.PasswordHash, err = c.passwords.hash(r.Context(), password, c.Random); err != nil {
		return err
	}
	err = c.Store.AcceptInvitation(r.Context(), saba.HashSecret(r.PathValue("token")), u, c.Now().Unix())
	if errors.Is(err, saba.ErrNotFound) { // somebody was faster
		return c.deadInvitation(w, r)
	}
	if err != nil {
		return err
	}
	if u, err = c.Store.User(r.Context(), u.ID); err != nil {
		return err
	}
	c.Log.Info("an invitation was accepted", "email", u.Email, "authority", u.Authority)
	return c.enter(w, r, u, "/hosts")
}
