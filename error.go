package saba

import (
	"errors"
	"fmt"
)

// The kinds of failure that a caller can act on. Wrap them with the operation and its
// subject; compare with errors.Is. The HTTP statuses and the exit codes of the command
// line follow from them.
var (
	ErrInvalid      = errors.New("invalid")       // HTTP 400, exit 2
	ErrUnauthorized = errors.New("unauthorized")  // HTTP 401: we do not know who asks
	ErrForbidden    = errors.New("forbidden")     // HTTP 403: we know, and they may not
	ErrNotFound     = errors.New("not found")     // HTTP 404, exit 4
	ErrConflict     = errors.New("conflict")      // HTTP 409: the name is taken
	ErrTooLarge     = errors.New("too large")     // HTTP 413
	ErrUnavailable  = errors.New("not available") // HTTP 503: try again later
	ErrUntold       = errors.New("not told")      // HTTP 502: the service of a channel did not confirm a message
)

// A FieldError says which field of a request was refused, and why. It matches ErrInvalid.
type FieldError struct {
	Field  string // JSON path: "name", "reports[2].status"
	Reason string // a clause the user can act on: "must be 63 characters or fewer"
}

func (e *FieldError) Error() string { return e.Field + " " + e.Reason }

// Is makes a FieldError match ErrInvalid.
func (e *FieldError) Is(target error) bool { return target == ErrInvalid }

// Invalidf returns a FieldError for field with a formatted reason.
func Invalidf(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// A wordedError pairs a sentence for a person with a kind for the program.
type wordedError struct {
	kind error
	text string
}

func (e *wordedError) Error() string { return e.text }
func (e *wordedError) Unwrap() error { return e.kind }

// Errorf returns an error of the given kind whose text is the formatted sentence alone:
// errors.Is finds the kind, the person does not read it twice.
func Errorf(kind error, format string, args ...any) error {
	return &wordedError{kind: kind, text: fmt.Sprintf(format, args...)}
}
