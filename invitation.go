package saba

import "net/mail"

// An Authority says what a person may do on the console.
type Authority string

// The authorities, from the most to the least.
const (
	Owner        Authority = "owner"
	Manager      Authority = "manager"
	Collaborator Authority = "collaborator"
	Viewer       Authority = "viewer"
)

// MayWrite says whether whoever has a may change hosts and what people set up.
func (a Authority) MayWrite() bool { return a == Owner || a == Manager || a == Collaborator }

// MayManage says whether whoever has a may decide who uses saba: make API keys, invite people.
func (a Authority) MayManage() bool { return a == Owner || a == Manager }

// Check says whether a is one of the authorities. The error is a FieldError.
func (a Authority) Check() error {
	return checkOneOf("authority", a, Owner, Manager, Collaborator, Viewer)
}

// A Member is a person as the others of the organization see them.
type Member struct {
	ID         string
	ScreenName string
	Email      string
	Authority  Authority
	JoinedAt   int64 // Unix seconds
}

// An Invitation is an account that somebody may have.
type Invitation struct {
	Email     string
	Authority Authority
	ExpiresAt int64 // Unix seconds
}

// InvitationLife is how long an invitation is good for, in seconds.
const InvitationLife = 7 * 24 * 60 * 60

// Check checks an invitation field by field. The error is a FieldError.
func (i *Invitation) Check() error {
	if a, err := mail.ParseAddress(i.Email); err != nil || a.Address != i.Email || len(i.Email) > MaxObjectName {
		return Invalidf("email", "must be an e-mail address, not %q", short(i.Email))
	}
	return checkOneOf("authority", i.Authority, Manager, Collaborator, Viewer)
}
