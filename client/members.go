package client

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

type wireMember struct {
	ID         string         `json:"id"`
	ScreenName string         `json:"screenName"`
	Email      string         `json:"email"`
	Authority  saba.Authority `json:"authority"`
	JoinedAt   int64          `json:"joinedAt"`
}

// Members returns the people of the organization.
func (c *Client) Members(ctx context.Context) ([]saba.Member, error) {
	all, err := listed[wireMember](ctx, c, path("users"), "users", nil)
	members := make([]saba.Member, len(all))
	for i, w := range all {
		members[i] = saba.Member(w)
	}
	return members, err
}

// DeleteMember deletes an account and returns who it was.
func (c *Client) DeleteMember(ctx context.Context, id string) (saba.Member, error) {
	w, err := sent[wireMember](ctx, c, http.MethodDelete, path("users", id), nil)
	return saba.Member(w), err
}

type wireInvitation struct {
	Email     string         `json:"email"`
	Authority saba.Authority `json:"authority"`
	ExpiresAt int64          `json:"expiresAt,omitempty"`
}

// Invitations returns the invitations that are good.
func (c *Client) Invitations(ctx context.Context) ([]saba.Invitation, error) {
	all, err := listed[wireInvitation](ctx, c, path("invitations"), "invitations", nil)
	invitations := make([]saba.Invitation, len(all))
	for i, w := range all {
		invitations[i] = saba.Invitation(w)
	}
	return invitations, err
}

// Invite invites somebody and returns until when.
func (c *Client) Invite(ctx context.Context, email string, a saba.Authority) (saba.Invitation, error) {
	w, err := sent[wireInvitation](ctx, c, http.MethodPost, path("invitations"), wireInvitation{Email: email, Authority: a})
	return saba.Invitation(w), err
}

type wireNetworks struct {
	CIDRs []string `json:"cidrs"`
}

// Networks returns the networks, in CIDR notation, from which a part of the server may be used; none means from everywhere.
func (c *Client) Networks(ctx context.Context, s saba.Surface) ([]string, error) {
	w, err := sent[wireNetworks](ctx, c, http.MethodGet, path("settings", "ip-restriction", string(s)), nil)
	return w.CIDRs, err
}

// SetNetworks replaces the networks from which a part of the server may be used; none lets it be used from everywhere.
func (c *Client) SetNetworks(ctx context.Context, s saba.Surface, cidrs []string) error {
	if cidrs == nil {
		cidrs = []string{}
	}
	return c.do(ctx, http.MethodPost, path("settings", "ip-restriction", string(s)), nil, wireNetworks{cidrs}, nil)
}

// RevokeInvitation ends an invitation.
func (c *Client) RevokeInvitation(ctx context.Context, email string) error {
	return c.do(ctx, http.MethodPost, path("invitations", "revoke"), nil, map[string]string{"email": email}, nil)
}
