// Package location fetches the configuration of a container's agent from where its operator has put
// it. A location is text: a path of this machine, or an address whose scheme says how it is fetched.
//
// A way to fetch is one file (http.go, s3.go) and one line in all. This package does not know
// what it fetches, and imports nothing of saba but its vocabulary.
package location

import (
	"context"
	"net/url"
	"os"
	"strings"

	"github.com/saba-monitor/saba"
)

// maxDocument bounds what is fetched, in bytes: far above any real configuration, far below what hurts.
const maxDocument = 4 << 20

// A Document is what was fetched.
type Document struct {
	Name string // for people, without what is secret in the location: "agent.yaml"
	Text []byte
}

// A way fetches the locations of one scheme.
type way struct {
	scheme string
	fetch  func(ctx context.Context, location *url.URL) (Document, error)
}

// all is every way but that of a path, one line each.
var all = []way{
	{"file", fetchFile},
	{"http", fetchHTTP},
	{"https", fetchHTTP},
	{"s3", fetchS3},
}

// Fetch returns the document at a location. The error matches saba.ErrInvalid when it is no location,
// and fs.ErrNotExist when there is nothing there.
func Fetch(ctx context.Context, location string) (Document, error) {
	u, err := url.Parse(location)
	if err != nil || !strings.Contains(location, "://") {
		return readFile(location)
	}
	var known []string
	for _, w := range all {
		if w.scheme == u.Scheme {
			return w.fetch(ctx, u)
		}
		known = append(known, w.scheme+"://")
	}
	return Document{}, saba.Errorf(saba.ErrInvalid, "%s:// is no place that a configuration is read from: it is a path, or begins with %s", u.Scheme, strings.Join(known, ", "))
}

func fetchFile(_ context.Context, u *url.URL) (Document, error) { return readFile(u.Path) }

// readFile reads a file of this machine.
func readFile(name string) (Document, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return Document{}, err
	case !info.Mode().IsRegular():
		return Document{}, saba.Errorf(saba.ErrInvalid, "%s is no file", name)
	case info.Size() > maxDocument:
		return Document{}, saba.Errorf(saba.ErrInvalid, "%s is larger than %d bytes: is it a configuration file?", name, maxDocument)
	}
	b, err := os.ReadFile(name)
	return Document{Name: name, Text: b}, err
}
