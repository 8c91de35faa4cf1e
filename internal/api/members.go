package api

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/saba-monitor/saba"
)

type memberOut struct {
	ID                      string         `json:"id"`
	ScreenName              string         `json:"screenName"`
	Email                   string         `json:"email"`
	Authority               saba.Authority `json:"authority"`
	IsInRegistrationProcess bool           `json:"isInRegistrationProcess"`
	IsMFAEnabled            bool           `json:"isMFAEnabled"`
	AuthenticationMethods   []string       `json:"authenticationMethods"`
	JoinedAt                int64          `json:"joinedAt"`
}

func newMemberOut(m saba.Member) memberOut {
	name, _, _ := strings.Cut(m.Email, "@")
	return memberOut{
		ID: m.ID, ScreenName: cmp.Or(m.ScreenName, name), Email: m.Email, Authority: m.Authority,
		AuthenticationMethods: []string{"password"}, JoinedAt: m.JoinedAt,
	}
}

func (s *server) memberList(w http.ResponseWriter, c *call) error {
	all, err := s.store.Members(c.Context(), c.org)
	return listed(s, w, c, "users", all, err, newMemberOut)
}

func (s *server) memberDelete(w http.ResponseWriter, c *call) error {
	m, err := s.store.DeleteMember(c.Context(), c.org, c.PathValue("user"))
	return shown(s, w, c, m, err, newMemberOut)
}

type invitationOut struct {
	Email     string         `json:"email"`
	Authority saba.Authority `json:"authority"`
	ExpiresAt int64          `json:"expiresAt"`
}

func newInvitationOut(i saba.Invitation) invitationOut { return invitationOut(i) }

type invitationIn struct {
	Email     string         `json:"email"`
	Authority saba.Authority `json:"authority"`
}

func (s *server) invitationList(w http.ResponseWriter, c *call) error {
	all, err := s.store.Invitations(c.Context(), c.org, s.now().Unix())
	return listed(s, w, c, "invitations", all, err, newInvitationOut)
}

func (s *server) invitationCreate(w http.ResponseWriter, c *call) error {
	var in invitationIn
	if err := c.decode(&in); err != nil {
		return err
	}
	now := s.now().Unix()
	i := saba.Invitation{Email: in.Email, Authority: in.Authority, ExpiresAt: now + saba.InvitationLife}
	if err := i.Check(); err != nil {
		return err
	}
	if err := taken(s.store.Invite(c.Context(), c.org, i, now)); err != nil {
		return err
	}
	if err := s.mailInvitation(c, i, now); err != nil {
		s.log.Warn("an invitation was not mailed; the console makes its link anew", "email", i.Email, "error", err)
	}
	return shown(s, w, c, i, nil, newInvitationOut)
}

// mailInvitation makes a link for a new invitation and mails it, where saba sends mail. The invitation is good without: the console makes links.
func (s *server) mailInvitation(c *call, i saba.Invitation, now int64) error {
	if s.notifier == nil {
		return nil
	}
	token, err := saba.NewSecret(s.random)
	if err != nil {
		return err
	}
	if err := s.store.LinkInvitation(c.Context(), c.org, i.Email, saba.HashSecret(token), now); err != nil {
		return err
	}
	if err := s.notifier.InviteByMail(c.Context(), i, token); !errors.Is(err, saba.ErrUnavailable) {
		return err
	}
	return nil
}

type revokeIn struct {
	Email string `json:"email"`
}

func (s *server) invitationRevoke(w http.ResponseWriter, c *call) error {
	var in revokeIn
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Email == "" {
		return saba.Invalidf("email", "is required: the address whose invitation ends")
	}
	if err := s.store.RevokeInvitation(c.Context(), c.org, in.Email, s.now().Unix()); err != nil {
		return err
	}
	return s.ok(w, c)
}

type networksIO struct {
	CIDRs []string `json:"cidrs"`
}

func networksShow(surface saba.Surface) func(*server, http.ResponseWriter, *call) error {
	return func(s *server, w http.ResponseWriter, c *call) error {
		cidrs, err := s.store.Networks(c.Context(), c.org, surface)
		return shown(s, w, c, cidrs, err, func(cidrs []string) networksIO { return networksIO{append([]string{}, cidrs...)} })
	}
}

// networksSet replaces the networks from which a part of saba may be used. A list for the API that would lock out
// whoever sends it is refused: there would be no way back through the API.
func networksSet(surface saba.Surface) func(*server, http.ResponseWriter, *call) error {
	return func(s *server, w http.ResponseWriter, c *call) error {
		var in struct {
			CIDRs *[]string `json:"cidrs"`
		}
		if err := c.decode(&in); err != nil {
			return err
		}
		if in.CIDRs == nil {
			return saba.Invalidf("cidrs", "is required: a list of networks, [] for no restriction")
		}
		networks, err := saba.ParseNetworks("cidrs", *in.CIDRs)
		if err != nil {
			return err
		}
		if surface == saba.SurfaceAPI {
			if from, err := netip.ParseAddrPort(c.RemoteAddr); err == nil && !saba.Allowed(networks, from.Addr()) {
				return saba.Invalidf("cidrs", "must hold the address that this request comes from (%s), or nobody there could change it again", from.Addr().Unmap())
			}
		}
		cidrs := make([]string, len(networks))
		for i, n := range networks {
			cidrs[i] = n.String()
		}
		if err := s.store.SetNetworks(c.Context(), c.org, surface, cidrs); err != nil {
			return err
		}
		return s.ok(w, c)
	}
}
