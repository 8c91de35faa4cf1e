package saba_test

import (
	"errors"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestHashSecret(t *testing.T) {
	// The example of FIPS 180-2, appendix B.1: keys that were stored must stay valid for ever.
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := saba.HashSecret("abc"); got != want {
		t.Errorf("HashSecret(abc) = %s, want %s", got, want)
	}
}

func TestAuthorize(t *testing.T) {
	var (
		nobody    = saba.Principal{}
		flagsOnly = saba.Principal{Read: true, Write: true} // no organization: nobody
		bare      = saba.Principal{Org: "o", Key: "k"}
		reader    = saba.Principal{Org: "o", Key: "k", Read: true}
		writer    = saba.Principal{Org: "o", Key: "k", Write: true}
		both      = saba.Principal{Org: "o", Key: "k", Read: true, Write: true}
	)
	unauthorized, forbidden := saba.ErrUnauthorized, saba.ErrForbidden
	for name, tt := range map[string]struct {
		who  saba.Principal
		want map[saba.Permission]error
	}{
		"nobody may do what anyone may":         {nobody, map[saba.Permission]error{saba.Nobody: unauthorized, saba.Anyone: nil, saba.Read: unauthorized, saba.Write: unauthorized, saba.ReadWrite: unauthorized}},
		"flags without an organization are nil": {flagsOnly, map[saba.Permission]error{saba.Nobody: unauthorized, saba.Anyone: nil, saba.Read: unauthorized, saba.Write: unauthorized, saba.ReadWrite: unauthorized}},
		"a key without flags may do nothing":    {bare, map[saba.Permission]error{saba.Nobody: forbidden, saba.Anyone: nil, saba.Read: forbidden, saba.Write: forbidden, saba.ReadWrite: forbidden}},
		"a read key may read":                   {reader, map[saba.Permission]error{saba.Nobody: forbidden, saba.Anyone: nil, saba.Read: nil, saba.Write: forbidden, saba.ReadWrite: forbidden}},
		"a write key may write":                 {writer, map[saba.Permission]error{saba.Nobody: forbidden, saba.Anyone: nil, saba.Read: forbidden, saba.Write: nil, saba.ReadWrite: forbidden}},
		"both flags may do both":                {both, map[saba.Permission]error{saba.Nobody: forbidden, saba.Anyone: nil, saba.Read: nil, saba.Write: nil, saba.ReadWrite: nil}},
		"an unknown permission is shut":         {both, map[saba.Permission]error{saba.ReadWrite + 1: forbidden, -1: forbidden}},
	} {
		t.Run(name, func(t *testing.T) {
			for permission, want := range tt.want {
				if err := tt.who.Authorize(permission); !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("%+v asks for permission %d: error %v, want %v", tt.who, permission, err, want)
				}
			}
		})
	}
	if saba.Permission(0) != saba.Nobody {
		t.Error("a route without a permission is not shut")
	}
}
