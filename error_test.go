package saba_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		kind error
		text string
	}{
		"a field error matches invalid":          {saba.Invalidf("reports[2].status", "must be one of %v", []string{"OK"}), saba.ErrInvalid, "reports[2].status must be one of [OK]"},
		"wrapped, it still does":                 {fmt.Errorf("create host: %w", saba.Invalidf("name", "must not be empty")), saba.ErrInvalid, "create host: name must not be empty"},
		"words for a person do not name a kind":  {saba.Errorf(saba.ErrNotFound, "no host %q", "x"), saba.ErrNotFound, `no host "x"`},
		"wrapped words keep their kind":          {fmt.Errorf("show host: %w", saba.Errorf(saba.ErrNotFound, "no host")), saba.ErrNotFound, "show host: no host"},
		"a kind alone is an error that says it":  {saba.ErrTooLarge, saba.ErrTooLarge, "too large"},
		"a service's fault is none of saba's":    {saba.Errorf(saba.ErrUntold, "it answered 500"), saba.ErrUntold, "it answered 500"},
		"joined errors are found by either kind": {errors.Join(errors.New("disk"), saba.Errorf(saba.ErrUnavailable, "full")), saba.ErrUnavailable, "disk\nfull"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.text {
				t.Errorf("text is %q, want %q", got, tt.text)
			}
			for _, kind := range []error{saba.ErrInvalid, saba.ErrUnauthorized, saba.ErrForbidden, saba.ErrNotFound, saba.ErrConflict, saba.ErrTooLarge, saba.ErrUnavailable, saba.ErrUntold} {
				if got, want := errors.Is(tt.err, kind), kind == tt.kind; got != want {
					t.Errorf("errors.Is(%q, %q) = %t, want %t", tt.err, kind, got, want)
				}
			}
		})
	}
}

func TestFieldErrorIsFoundInAChain(t *testing.T) {
	var field *saba.FieldError
	if err := fmt.Errorf("update host: %w", saba.Invalidf("memo", "is too long")); !errors.As(err, &field) || field.Field != "memo" {
		t.Errorf("errors.As finds %v in %v, want the FieldError of memo", field, err)
	}
}
