package saba

import (
	"encoding/base64"
	"fmt"
	"io"
)

// NewSecret returns a new secret of 192 random bits for an API key, a session or a set-up
// link: 37 characters of [0-9A-Za-z_-], beginning with "saba_" so that scanners for leaked
// secrets can find it.
func NewSecret(random io.Reader) (string, error) {
	var b [24]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("make a secret: %w", err)
	}
	return "saba_" + base64.RawURLEncoding.EncodeToString(b[:]), nil
}
