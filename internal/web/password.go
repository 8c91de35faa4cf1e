package web

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/saba-monitor/saba"
)

// The cost of a password hash: OWASP's argon2id setting of 19 MiB, two passes, one lane.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonLanes  = 1
	argonSalt   = 16 // bytes
	argonKey    = 32 // bytes
)

// Limits on passwords. The upper one is in bytes and bounds what a stranger can make us hash.
const (
	minPassword = 10 // characters
	maxPassword = 256
)

// passwords makes and checks password hashes, at most two at once: each takes 19 MiB.
type passwords struct {
	slots chan struct{}
}

func newPasswords() *passwords { return &passwords{slots: make(chan struct{}, 2)} }

// validPassword says what is wrong with a new password. The error matches saba.ErrInvalid.
func validPassword(password string) error {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return saba.Errorf(saba.ErrInvalid, "The password needs at least %d characters.", minPassword)
	case len(password) > maxPassword:
		return saba.Errorf(saba.ErrInvalid, "The password may have at most %d bytes.", maxPassword)
	}
	return nil
}

// hash returns the hash of a password in the PHC string format,
// "$argon2id$v=19$m=19456,t=2,p=1$salt$key".
func (p *passwords) hash(ctx context.Context, password string, random io.Reader) (string, error) {
	salt := make([]byte, argonSalt)
	if _, err := io.ReadFull(random, salt); err != nil {
		return "", fmt.Errorf("make a salt: %w", err)
	}
	key, err := p.derive(ctx, password, salt, argonTime, argonMemory, argonLanes, argonKey)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key)), nil
}

// nobodysHash is what an unknown account's password is compared with, so that its answer takes
// as long as a known one's. Nothing hashes to it.
const nobodysHash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// matches says whether password hashes to hash. A hash that cannot be read is an error.
func (p *passwords) matches(ctx context.Context, password, hash string) (bool, error) {
	h, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	if len(password) > maxPassword {
		password = "" // no password is that long; hash something all the same, for the time it takes
	}
	key, err := p.derive(ctx, password, h.salt, h.time, h.memory, h.lanes, uint32(len(h.key)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(key, h.key) == 1, nil
}

func (p *passwords) derive(ctx context.Context, password string, salt []byte, time, memory uint32, lanes uint8, length uint32) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
		return argon2.IDKey([]byte(password), salt, time, memory, lanes, length), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A phc is a parsed password hash.
type phc struct {
	time, memory uint32
	lanes        uint8
	salt, key    []byte
}

// parsePHC parses an argon2id hash in the PHC string format. Costs beyond what saba ever
// wrote are refused: a damaged row must not take the machine's memory.
func parsePHC(s string) (phc, error) {
	bad := func(what string) (phc, error) {
		return phc{}, fmt.Errorf("a stored password hash is damaged: %s", what)
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return bad("it is not argon2id, version 19")
	}
	var h phc
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.lanes); n != 3 || err != nil {
		return bad("its costs cannot be read")
	}
	if h.memory < 8 || h.memory > 1<<20 || h.time < 1 || h.time > 64 || h.lanes < 1 || h.lanes > 16 {
		return bad("its costs are out of bounds")
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return bad("its salt cannot be read")
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(h.key) < 16 || len(h.key) > 64 {
		return bad("its key cannot be read")
	}
	return h, nil
}
