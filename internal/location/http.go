package location

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/saba-monitor/saba"
)

// httpTimeout bounds a request and its answer: a place that hangs must not hold up the start of a container for long.
const httpTimeout = 3 * time.Second

// fetchHTTP gets a document by HTTP, through the proxies of the environment. Another status than 200 is an error: a page that says that something is
// wrong is no configuration.
func fetchHTTP(ctx context.Context, u *url.URL) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	name := u.Redacted()
	if u.Host == "" {
		return Document{}, saba.Errorf(saba.ErrInvalid, "%s names no server", name)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Document{}, saba.Errorf(saba.ErrInvalid, "%s is no address", name)
	}
	req.Header.Set("User-Agent", "saba-container-agent/"+saba.Version)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var outer *url.Error // it repeats the address, with a password in it perhaps
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return Document{}, fmt.Errorf("%s: %w", name, err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return Document{}, fmt.Errorf("%s: the server answers %s: %w", name, res.Status, fs.ErrNotExist)
	default:
		return Document{}, fmt.Errorf("%s: the server answers %s", name, res.Status)
	}
	text, err := readDocument(name, res.Body)
	return Document{Name: name, Text: text}, err
}

// readDocument reads a document whole, if it is not too large.
func readDocument(name string, r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is cut short: %w", name, err)
	case len(b) > maxDocument:
		return nil, saba.Errorf(saba.ErrInvalid, "%s is larger than %d bytes: is it a configuration file?", name, maxDocument)
	}
	return b, nil
}
