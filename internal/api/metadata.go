package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/body"
)

var namespace = regexp.MustCompile(`^[-a-zA-Z0-9_]{1,255}$`)

// unreadable is how long after its retirement the metadata of a host can still be read, in seconds.
const unreadable = 7 * 24 * 60 * 60

// owner returns what the path hangs metadata on: a role, a service or a host. It must exist,
// and a host must live if the call writes.
func (s *server) owner(c *call, write bool) (o saba.MetadataOwner, err error) {
	o.Org = c.org
	if id := c.PathValue("host"); id != "" {
		host, err := s.host(c)
		switch {
		case err != nil:
			return o, err
		case write && host.Retired():
			return o, saba.Errorf(saba.ErrInvalid, "host %q was retired: its metadata can no longer be changed", host.ID)
		case host.Retired() && s.now().Unix()-host.RetiredAt > unreadable:
			return o, saba.Errorf(saba.ErrInvalid, "host %q was retired more than a week ago: its metadata can no longer be read", host.ID)
		}
		o.Host = host.ID
		return o, nil
	}
	service, err := s.service(c)
	if err != nil {
		return o, err
	}
	o.Service = service.Name
	if role := c.PathValue("role"); role != "" {
		for _, name := range service.Roles {
			if name == role {
				o.Role = role
				return o, nil
			}
		}
		return o, saba.Errorf(saba.ErrNotFound, "no role %q in service %q", clip(role), service.Name)
	}
	return o, nil
}

func (s *server) metadataShow(w http.ResponseWriter, c *call) error {
	o, err := s.owner(c, false)
	if err != nil {
		return err
	}
	m, err := s.store.Metadata(c.Context(), o, c.PathValue("namespace"))
	if err != nil {
		return err
	}
	// Go clients fail without this header.
	w.Header().Set("Last-Modified", time.Unix(m.UpdatedAt, 0).UTC().Format(http.TimeFormat))
	// Only who asks for it gets an answer without a body (RFC 9110, section 13.1.3).
	if since, err := http.ParseTime(c.Header.Get("If-Modified-Since")); err == nil && m.UpdatedAt <= since.Unix() {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return s.send(w, c.Request, http.StatusOK, m.Value)
}

func (s *server) metadataPut(w http.ResponseWriter, c *call) error {
	ns := c.PathValue("namespace")
	if !namespace.MatchString(ns) {
		return saba.Errorf(saba.ErrInvalid, "namespace %q must be 1 to 255 characters of A-Z a-z 0-9 _ -", clip(ns))
	}
	if strings.HasPrefix(ns, "mackerel") {
		return saba.Errorf(saba.ErrInvalid, `namespace %q is reserved: choose one that does not begin with "mackerel"`, clip(ns))
	}
	o, err := s.owner(c, true)
	if err != nil {
		return err
	}
	sent, err := c.body.Read()
	if err != nil && !errors.Is(err, saba.ErrTooLarge) {
		return err
	}
	value := bytes.ToValidUTF8(bytes.Trim(sent, " \t\r\n"), []byte("\uFFFD"))
	if err != nil || len(value) > saba.MaxMetadataSize {
		return saba.Errorf(saba.ErrTooLarge, "the metadata is larger than %s: keep less, or spread it over several namespaces", body.Size(saba.MaxMetadataSize))
	}
	if err := validJSON(sent); err != nil {
		return err
	}
	if err := s.store.PutMetadata(c.Context(), o, saba.Metadata{Namespace: ns, Value: value, UpdatedAt: s.now().Unix()}); err != nil {
		return err
	}
	if ns == saba.CulpritsNamespace && o.Host != "" {
		if _, err := saba.ParseCulprits(value); err != nil {
			s.noCulprits.Inc()
			s.log.Debug("culprits make no sense and are kept with no alert", "host", o.Host, "error", err)
		}
	}
	return s.ok(w, c)
}

func (s *server) metadataDelete(w http.ResponseWriter, c *call) error {
	o, err := s.owner(c, true)
	if err != nil {
		return err
	}
	if err := s.store.DeleteMetadata(c.Context(), o, c.PathValue("namespace")); err != nil {
		return err
	}
	return s.ok(w, c)
}

func (s *server) metadataList(w http.ResponseWriter, c *call) error {
	o, err := s.owner(c, false)
	if err != nil {
		return err
	}
	names, err := s.store.MetadataNamespaces(c.Context(), o)
	if err != nil {
		return fmt.Errorf("list metadata namespaces: %w", err)
	}
	return listed(s, w, c, "metadata", names, nil, func(n string) namespaceOut { return namespaceOut{n} })
}

type namespaceOut struct {
	Namespace string `json:"namespace"`
}
