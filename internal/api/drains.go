package api

import (
	"net/http"

	"github.com/saba-monitor/saba"
)

// drainIn is a drain as clients send it.
type drainIn struct {
	Name         string `json:"name"`
	Service      string `json:"service"`
	Prefix       string `json:"prefix"`
	SourcePrefix string `json:"sourcePrefix"`
}

// drain makes a drain of what a client sent. old is the one that it replaces, the zero Drain when it is new.
func (in drainIn) drain(old saba.Drain) (saba.Drain, error) {
	d := old
	d.Name, d.Service, d.Prefix, d.SourcePrefix = in.Name, in.Service, in.Prefix, in.SourcePrefix
	return d, d.Check()
}

// newDrainOut is a drain with its token, which is shown this once.
type newDrainOut struct {
	saba.Drain
	Token string `json:"token"`
	Path  string `json:"path"` // where its lines are posted, on this server
}

func (s *server) drainList(w http.ResponseWriter, c *call) error {
	all, err := s.store.Drains(c.Context(), c.org)
	return listed(s, w, c, "drains", all, err, same[saba.Drain])
}

func (s *server) drainShow(w http.ResponseWriter, c *call) error {
	d, err := s.store.Drain(c.Context(), c.org, c.PathValue("drain"))
	return shown(s, w, c, d, err, same[saba.Drain])
}

func (s *server) drainCreate(w http.ResponseWriter, c *call) error {
	var in drainIn
	if err := c.decode(&in); err != nil {
		return err
	}
	d, err := in.drain(saba.Drain{CreatedAt: s.now().Unix()})
	if err != nil {
		return err
	}
	if d.ID, err = s.newID(); err != nil {
		return err
	}
	token, err := saba.NewSecret(s.random)
	if err != nil {
		return err
	}
	return shown(s, w, c, newDrainOut{d, token, "/drains/" + token}, s.store.CreateDrain(c.Context(), c.org, d, saba.HashSecret(token)), same[newDrainOut])
}

func (s *server) drainUpdate(w http.ResponseWriter, c *call) error {
	var in drainIn
	if err := c.decode(&in); err != nil {
		return err
	}
	d, err := s.store.UpdateDrain(c.Context(), c.org, c.PathValue("drain"), in.drain)
	return shown(s, w, c, d, err, same[saba.Drain])
}

// drainToken gives a drain another token; the one before opens nothing any more.
func (s *server) drainToken(w http.ResponseWriter, c *call) error {
	token, err := saba.NewSecret(s.random)
	if err != nil {
		return err
	}
	if err := s.store.SetDrainToken(c.Context(), c.org, c.PathValue("drain"), saba.HashSecret(token)); err != nil {
		return err
	}
	d, err := s.store.Drain(c.Context(), c.org, c.PathValue("drain"))
	return shown(s, w, c, newDrainOut{d, token, "/drains/" + token}, err, same[newDrainOut])
}

func (s *server) drainDelete(w http.ResponseWriter, c *call) error {
	d, err := s.store.DeleteDrain(c.Context(), c.org, c.PathValue("drain"))
	return shown(s, w, c, d, err, same[saba.Drain])
}
