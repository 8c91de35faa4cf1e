package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	netmail "net/mail"

	"github.com/wneessen/go-mail"

	"github.com/saba-monitor/saba"
)

// InviteByMail sends the link of an invitation, which ends with a token, to whom it is for. It tries once: of the token only the hash is kept, so
// that nobody could try again later, and whoever invites sees the link. The error matches saba.ErrUnavailable where saba sends no mail or does not know
// the address of its console, and saba.ErrUntold where the server did not take it; both are sentences.
func (n *Notifier) InviteByMail(ctx context.Context, i saba.Invitation, token string) error {
	switch {
	case n.Mail.Server == "":
		return saba.Errorf(saba.ErrUnavailable, "saba sends no mail: hand the link over yourself, or start it with --smtp")
	case n.URL == "":
		return saba.Errorf(saba.ErrUnavailable, "saba does not know the address of its console, so that it mails no link: hand it over yourself, or start saba with --url")
	}
	// Whoever invites may go on meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), SendTimeout)
	defer cancel()
	org, err := n.Store.Org(ctx, n.Org)
	if err != nil {
		return fmt.Errorf("read the organization: %w", err)
	}
	sender := newEmail(n.Mail, n.Now)
	letter, err := sender.invitation(org, i, n.URL+"/join/"+token, n.Now().In(n.Zone))
	if err != nil {
		return saba.Errorf(saba.ErrUntold, "the mail to %s could not be written: %v", i.Email, err)
	}
	_, refused, err := sender.deliver(ctx, []string{i.Email}, letter)
	if err == nil && len(refused) > 0 {
		err = errors.New("the SMTP server takes no mail for " + sentence(refused))
	}
	if err != nil {
		return saba.Errorf(saba.ErrUntold, "the mail to %s was not sent: %v", i.Email, err)
	}
	return nil
}

// invitation writes the mail with a link, in text alone: there is nothing to be drawn.
func (s *email) invitation(org saba.Org, i saba.Invitation, link string, now time.Time) ([]byte, error) {
	from, err := s.sender()
	if err != nil {
		return nil, err
	}
	name := oneLine(org.DisplayName)
	if name == "" {
		name = oneLine(org.Name)
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(from)
	msg.AddToMailAddress(&netmail.Address{Address: i.Email})
	msg.Subject("Invitation to saba of " + name)
	msg.SetDateWithValue(now)
	_, domain, _ := strings.Cut(from.Address, "@")
	msg.SetMessageIDWithValue(fmt.Sprintf("saba.invitation.%d@%s", now.UnixNano(), domain)) // not by the name of this machine
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, fmt.Sprintf("You are invited to saba of %s, as %s.\n\nOpen this link to choose a password. It works once, and until %s:\n\n%s\n\nIf you expected no invitation, leave it alone: without the link nobody gets an account.\n",
		name, i.Authority, time.Unix(i.ExpiresAt, 0).In(now.Location()).Format(timeLayout), link))
	var out bytes.Buffer
	_, err = msg.WriteTo(&out)
	return out.Bytes(), err
}
