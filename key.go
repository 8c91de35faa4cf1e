package saba

import (
	"crypto/sha256"
	"encoding/hex"
)

// A Key is an API key. Only its hash is kept: the secret is shown once, when it is made.
type Key struct {
	ID        string
	Org       string
	Name      string // what people call it: "web servers"
	Hash      string // HashSecret of the secret
	Read      bool
	Write     bool
	CreatedAt int64    // Unix seconds
	UsedAt    int64    // Unix seconds of the last request that carried it, to about a minute; 0 if never
	Networks  []string // in CIDR notation, from which alone its organization lets the API be used; none means all. KeyByHash fills it in
}

// HashSecret returns the form in which a secret of high entropy (an API key, a session's or a
// set-up link's token) is kept: SHA-256 in hexadecimal. It is not for passwords.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// A Permission is what a route asks of whoever calls it.
type Permission int

// The permissions. The zero value permits nobody, so that a route without one is shut.
const (
	Nobody    Permission = iota
	Anyone               // no key, no session: the login page, static files
	Read                 // a key with the read flag, or any signed-in user
	Write                // a key with the write flag; a signed-in user who may change something
	ReadWrite            // a key with both flags; a signed-in user who may change something
	Manage               // a signed-in user who may decide who uses saba; no key
)

// A Principal is who a request comes from: an API key, or a signed-in user. The zero value
// is nobody in particular.
type Principal struct {
	Org    string // the organization whose data it sees; "" for nobody
	Key    string // id of the API key, or ""
	User   string // id of the user, or ""
	Read   bool
	Write  bool
	Manage bool // never of a key
}

// Authorize decides whether p may do what needs permission want. The error matches
// ErrUnauthorized when p is nobody, ErrForbidden when p lacks a flag. It is the only place
// where that is decided, for the API and for the pages.
func (p Principal) Authorize(want Permission) error {
	if want == Anyone {
		return nil
	}
	if p.Org == "" {
		return Errorf(ErrUnauthorized, "authentication failed: send a valid API key in the X-Api-Key header")
	}
	switch {
	case want == Read && p.Read, want == Write && p.Write, want == ReadWrite && p.Read && p.Write, want == Manage && p.Manage:
		return nil
	case want == Nobody:
		return Errorf(ErrForbidden, "this route is not open to anybody")
	case p.User != "" && want == Manage:
		return Errorf(ErrForbidden, "your account may not do this: ask the owner or a manager of the organization")
	case p.User != "":
		return Errorf(ErrForbidden, "your account may only look: ask the owner or a manager of the organization for more")
	case want == Manage:
		return Errorf(ErrForbidden, "an API key may not do this: sign in to the console")
	case want != Read && !p.Write:
		return Errorf(ErrForbidden, "this API key may only read: writing needs a key with the write flag")
	}
	return Errorf(ErrForbidden, "this API key may not read: it needs the read flag")
}

// A User is a person with an account on the console.
type User struct {
	ID           string
	Org          string
	Email        string // as typed; compared without regard to case
	PasswordHash string // argon2id in the PHC string format
	Authority    Authority
	CreatedAt    int64 // Unix seconds
}

// A Session is a signed-in browser.
type Session struct {
	Hash      string // HashSecret of the cookie's token
	User      string // user id
	Org       string
	CreatedAt int64 // Unix seconds
	ExpiresAt int64 // Unix seconds
}

// An Org is the owner of everything else.
type Org struct {
	ID          string
	Name        string
	DisplayName string // "" when unset
}
