package notify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// An orgStore is a database that knows an organization and nothing else.
type orgStore struct{ Store }

func (orgStore) Org(context.Context, string) (saba.Org, error) {
	return saba.Org{ID: "org1", Name: "acme", DisplayName: "Acme\r\nBcc: x@example.net"}, nil
}

// An invitation arrives with its link; where it cannot, the error says whether that is so always, and never has the link.
func TestInvitationsArrive(t *testing.T) {
	i := saba.Invitation{Email: "you@example.com", Authority: saba.Manager, ExpiresAt: opened}
	for name, tt := range map[string]struct {
		office   *postOffice
		url      string
		unmailed bool
		is       error
		saying   string
	}{
		"by a server that takes it":  {&postOffice{}, "https://saba.example.com", false, nil, ""},
		"a recipient who is refused": {&postOffice{answers: map[string]string{"RCPT": "550 no such user"}}, "https://saba.example.com", false, saba.ErrUntold, "no such user"},
		"a server that hangs up":     {&postOffice{drops: "."}, "https://saba.example.com", false, saba.ErrUntold, "closed the connection"},
		"no address of the console":  {&postOffice{}, "", false, saba.ErrUnavailable, "--url"},
		"no server":                  {&postOffice{}, "https://saba.example.com", true, saba.ErrUnavailable, "--smtp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			office, sender := plainMail(t, tt.office)
			n := New(Options{Org: "org1", Store: orgStore{}, Mail: sender.Mail, URL: tt.url, Zone: time.UTC, Now: time.Now})
			if tt.unmailed {
				n.Mail = Mail{}
			}
			err := n.InviteByMail(t.Context(), i, "SECRETtoken")
			if !errors.Is(err, tt.is) || err != nil && (!strings.Contains(err.Error(), tt.saying) || strings.Contains(err.Error(), "SECRET")) {
				t.Fatalf("InviteByMail() = %v, want %v with %q", err, tt.is, tt.saying)
			}
			got := office.letters()
			if tt.is != nil {
				if len(got) != 0 {
					t.Errorf("it got %+v", got)
				}
				return
			}
			if len(got) != 1 || strings.Join(got[0].to, ",") != "you@example.com" || strings.Contains(got[0].text, "\nBcc:") {
				t.Fatalf("it got %+v", got)
			}
			for _, want := range []string{"https://saba.example.com/join/SECRETtoken", "as manager", "until 2026-01-01 00:01 UTC", "Subject: Invitation to saba of Acme"} {
				if !strings.Contains(strings.NewReplacer("=\r\n", "", "=\n", "").Replace(got[0].text), want) {
					t.Errorf("it does not say %q:\n%s", want, got[0].text)
				}
			}
		})
	}
}
