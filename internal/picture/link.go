package picture

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// KeySize is how many bytes the key of links has.
const KeySize = 32

// Prefix is where the paths of links begin, for whoever serves them.
const Prefix = "/pictures/"

// lifetime is how long a link is good for, from the moment that its picture is about.
const lifetime = 30 * 24 * time.Hour

// maxLink bounds the token of a link, in characters: chats refuse longer addresses.
const maxLink = 3000

// purpose binds a token, with the organization, to what this package means by it: one of another purpose, version or organization under the same
// key is none.
const purpose = "saba picture 1 of "

// links seals subjects in tokens. A token is AES-256-GCM of the subject, in base64url: whoever has it can neither read nor change
// it, nor make another. The nonce comes from the subject itself, so that the same picture has the same address when a message is
// sent again: equal nonces then seal equal subjects, which tells nobody anything.
type links struct {
	seal    cipher.AEAD
	nonce   []byte // key
	purpose []byte
}

func newLinks(key []byte, org string) (links, error) {
	if len(key) != KeySize {
		return links{}, saba.Errorf(saba.ErrInvalid, "the key of links to pictures has %d bytes: it must have %d", len(key), KeySize)
	}
	derive := func(use string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(use))
		return mac.Sum(nil)
	}
	block, err := aes.NewCipher(derive("seal"))
	if err != nil {
		return links{}, fmt.Errorf("prepare links to pictures: %w", err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return links{}, fmt.Errorf("prepare links to pictures: %w", err)
	}
	return links{seal, derive("nonce"), []byte(purpose + org)}, nil
}

// path returns the address of a subject's picture, or "" when the subject cannot be in one, being too long.
func (l links) path(s subject) string {
	plain, err := json.Marshal(s)
	if err != nil { // a limit that is no number; none is kept
		return ""
	}
	mac := hmac.New(sha256.New, l.nonce)
	mac.Write(plain)
	nonce := mac.Sum(nil)[:l.seal.NonceSize()]
	token := base64.RawURLEncoding.EncodeToString(l.seal.Seal(nonce, nonce, plain, l.purpose))
	if len(token) > maxLink {
		return ""
	}
	return Prefix + token + ".png"
}

// open returns the subject of a path that path made and that has not expired; ok is false for every other one.
func (l links) open(path string, now time.Time) (s subject, ok bool) {
	token, cut := strings.CutPrefix(path, Prefix)
	token, png := strings.CutSuffix(token, ".png")
	if !cut || !png {
		return subject{}, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(sealed) < l.seal.NonceSize() || strings.ContainsAny(token, "\r\n") { // which DecodeString leaves out
		return subject{}, false
	}
	nonce := sealed[:l.seal.NonceSize()]
	plain, err := l.seal.Open(nil, nonce, sealed[len(nonce):], l.purpose) // compares in constant time
	if err != nil {
		return subject{}, false
	}
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil || now.Unix() > s.Until {
		return subject{}, false
	}
	return s, true
}
