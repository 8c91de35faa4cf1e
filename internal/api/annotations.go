package api

import (
	"net/http"

	"github.com/saba-monitor/saba"
)

type annotationIn struct {
	Title       string   `json:"title"`
	Description string   `json:"description"`
	From        *int64   `json:"from"`
	To          *int64   `json:"to"`
	Service     string   `json:"service"`
	Roles       []string `json:"roles"`
}

// readAnnotation reads the body that makes or replaces a graph annotation.
func (c *call) readAnnotation() (a saba.GraphAnnotation, err error) {
	var in annotationIn
	if err := c.decode(&in); err != nil {
		return a, err
	}
	if in.From == nil {
		return a, saba.Invalidf("from", "is required: a time in Unix seconds")
	}
	if in.To == nil {
		return a, saba.Invalidf("to", "is required: a time in Unix seconds")
	}
	a = saba.GraphAnnotation{Title: in.Title, Description: in.Description, From: *in.From, To: *in.To, Service: in.Service, Roles: in.Roles}
	return a, a.Check()
}

func annotationOut(a saba.GraphAnnotation) saba.GraphAnnotation { return a }

func (s *server) annotationList(w http.ResponseWriter, c *call) error {
	q := c.URL.Query()
	service := q.Get("service")
	if service == "" {
		return saba.Invalidf("service", "is required: the name of a service")
	}
	from, err := querySeconds(q, "from")
	if err != nil {
		return err
	}
	to, err := querySeconds(q, "to")
	if err != nil {
		return err
	}
	if to < from {
		return saba.Invalidf("to", "must not be before from (%d), not %d", from, to)
	}
	all, err := s.store.GraphAnnotations(c.Context(), c.org, service, from, to)
	return listed(s, w, c, "graphAnnotations", all, err, annotationOut)
}

func (s *server) annotationCreate(w http.ResponseWriter, c *call) error {
	a, err := c.readAnnotation()
	if err != nil {
		return err
	}
	if a.ID, err = s.newID(); err != nil {
		return err
	}
	return shown(s, w, c, a, s.store.CreateGraphAnnotation(c.Context(), c.org, a), annotationOut)
}

func (s *server) annotationUpdate(w http.ResponseWriter, c *call) error {
	a, err := c.readAnnotation()
	if err != nil {
		return err
	}
	a, err = s.store.UpdateGraphAnnotation(c.Context(), c.org, c.PathValue("annotation"), func(old saba.GraphAnnotation) (saba.GraphAnnotation, error) {
		a.ID = old.ID
		return a, nil
	})
	return shown(s, w, c, a, err, annotationOut)
}

func (s *server) annotationDelete(w http.ResponseWriter, c *call) error {
	a, err := s.store.DeleteGraphAnnotation(c.Context(), c.org, c.PathValue("annotation"))
	return shown(s, w, c, a, err, annotationOut)
}
