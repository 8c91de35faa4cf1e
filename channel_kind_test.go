package saba

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// What checks, shows and draws channels works from the declaration: it must hold together.
func TestChannelKindsDeclareEveryField(t *testing.T) {
	seen := map[ChannelType]bool{}
	for _, k := range ChannelKinds {
		if !slices.Contains(ChannelTypes, k.Type) || seen[k.Type] {
			t.Errorf("%s is no type of its own", k.Type)
		}
		seen[k.Type] = true
		if k.Label == "" || k.About == "" || !slices.ContainsFunc(k.Events, func(e string) bool { return e == "alert" }) {
			t.Errorf("%s lacks a label, a sentence about it or alerts", k.Type)
		}
		if first, last := k.Fields[0].Name, k.Fields[len(k.Fields)-1].Name; first != "name" || last != "events" {
			t.Errorf("the fields of %s begin with %s and end with %s", k.Type, first, last)
		}
		names := map[string]bool{}
		for _, f := range k.Fields {
			if names[f.Name] {
				t.Errorf("%s has %s twice", k.Type, f.Name)
			}
			names[f.Name] = true
			if f.Label == "" {
				t.Errorf("%s of %s has no label", f.Name, k.Type)
			}
			ok, limited := false, f.Most > 0
			switch f.Of(&Channel{}).(type) {
			case *string:
				ok = f.Input == ChannelInputLine || f.Input == ChannelInputTemplate
				if f.Input == ChannelInputURL {
					ok, limited = true, true // maxURL
				}
			case *[]string:
				ok = f.Input == ChannelInputEmails || f.Input == ChannelInputAccounts || f.Input == ChannelInputEvents
			case *bool:
				ok, limited = f.Input == ChannelInputTick, true
			case *Mentions:
				ok = f.Input == ChannelInputMentions
			}
			if !ok || !limited {
				t.Errorf("%s of %s has the input %s, which does not go with its value, or no limit", f.Name, k.Type, f.Input)
			}
			if f.fits != nil && (f.must == "" || f.fits("a b\n")) {
				t.Errorf("%s of %s takes anything, or does not say what it must be", f.Name, k.Type)
			}
		}
	}
}

// Check leaves a channel what its type has, and nothing else.
func TestChannelCheckEmptiesForeignFields(t *testing.T) {
	all := Channel{
		ID: "c", Name: "n", SuspendedAt: 5, Emails: []string{"a@example.com"}, UserIDs: []string{"u"}, URL: "https://example.com", Token: "1:a", To: "1", Template: "x",
		ContentType: "text/plain", Mentions: Mentions{OK: "@a"}, EnabledGraphImage: true, Events: []string{"alert"},
	}
	for _, k := range ChannelKinds {
		c := all
		c.Type = k.Type
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", k.Type, err)
		}
		has := func(name string) bool { return k.Shows(name) || k.hides(name) }
		for name, filled := range map[string]bool{
			"emails": c.Emails != nil, "userIds": c.UserIDs != nil, "url": c.URL != "", "token": c.Token != "", "to": c.To != "", "template": c.Template != "",
			"contentType": c.ContentType != "", "mentions": c.Mentions != Mentions{}, "enabledGraphImage": c.EnabledGraphImage, "events": c.Events != nil,
		} {
			if filled != has(name) {
				t.Errorf("%s has %s: %t, want %t", k.Type, name, filled, has(name))
			}
		}
		if c.ID != "c" || c.SuspendedAt != 5 || c.Name != "n" {
			t.Errorf("%s became %+v", k.Type, c)
		}
	}
}

// docs/channels.md says of every type what to fill in, and what of it is a secret.
func TestChannelKindsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("docs/channels.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ChannelKinds {
		if !strings.Contains(string(page), "`"+string(k.Type)+"`") {
			t.Errorf("docs/channels.md does not name the type %s", k.Type)
		}
		_, section, ok := strings.Cut(string(page), "\n## "+k.Label+"\n")
		if !ok {
			t.Errorf("docs/channels.md has no section %s", k.Label)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for _, f := range k.Fields {
			row := "| `" + f.Name + "` |"
			if f.Secret {
				row = "| `" + f.Name + "` ● |"
			}
			if common := f.Name == "name" || f.Name == "events" || f.Name == "enabledGraphImage"; !common && !strings.Contains(section, row) {
				t.Errorf("the section %s has no row %s", k.Label, row)
			}
		}
	}
}
