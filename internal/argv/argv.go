// Package argv keeps secrets out of what other users see of this process, its command line: ps and /proc show the
// memory in which the kernel put it, and that is the process' own to change.
package argv

import (
	"os"
	"strings"
	"unsafe"
)

// Clone returns the command line (os.Args) in memory of its own, which Hide leaves alone. It comes first in main.
func Clone() []string {
	args := make([]string, len(os.Args))
	for i, a := range os.Args {
		args[i] = strings.Clone(a)
	}
	return args
}

// Hide writes x over a secret wherever an argument is it, or ends with it after =, as in --password=secret and
// -psecret. It was there to see for a moment: a file or the environment is better. os.Args says x as well from then
// on, so that what was read of it before must be a clone.
func Hide(secret string) {
	if secret == "" {
		return
	}
	for _, a := range os.Args[1:] {
		if head, ok := strings.CutSuffix(a, secret); ok && (head == "" || head[0] == '-') {
			// The Go runtime makes os.Args of the kernel's memory, without a copy (runtime.goargs).
			b := unsafe.Slice(unsafe.StringData(a), len(a))
			for i := len(head); i < len(b); i++ {
				b[i] = 'x'
			}
		}
	}
}
