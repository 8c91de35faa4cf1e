package api

import (
	"errors"
	"net/http"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/logline"
)

// drainIn is a drain as clients send it.
type drainIn struct {
	Name         string `json:"name"`
	Service      string `json:"service"`
	Prefix       string `json:"prefix"`
	SourcePrefix string `json:"sourcePrefix"`

	Rules []saba.LineRule `json:"rules"`
}

// drain makes a drain of what a client sent. old is the one that it replaces, the zero Drain when it is new.
func (in drainIn) drain(old saba.Drain) (saba.Drain, error) {
	d := old
	d.Name, d.Service, d.Prefix, d.SourcePrefix, d.Rules = in.Name, in.Service, in.Prefix, in.SourcePrefix, in.Rules
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

// drainTokenIn is a token that somebody else made.
type drainTokenIn struct {
	Token string `json:"token"`
}

// drainAdopt gives a drain the token that Heroku made for it: its messages by syslog bear that one, and no other.
func (s *server) drainAdopt(w http.ResponseWriter, c *call) error {
	var in drainTokenIn
	if err := c.decode(&in); err != nil {
		return err
	}
	if !saba.ValidLogplexToken(in.Token) { // whoever chose one would choose a weak one
		return saba.Invalidf("token", "must be what heroku drains shows for a drain by syslog, d.00000000-0000-0000-0000-000000000000; for any other sender leave the choice to saba: POST")
	}
	id, hash := c.PathValue("drain"), saba.HashSecret(in.Token)
	switch _, other, err := s.store.DrainByHash(c.Context(), hash); {
	case err == nil && other.ID != id:
		return saba.Invalidf("token", "opens another drain already")
	case err != nil && !errors.Is(err, saba.ErrNotFound):
		return err
	}
	if err := s.store.SetDrainToken(c.Context(), c.org, id, hash); err != nil {
		return err
	}
	d, err := s.store.Drain(c.Context(), c.org, id)
	return shown(s, w, c, d, err, same[saba.Drain])
}

func (s *server) drainDelete(w http.ResponseWriter, c *call) error {
	d, err := s.store.DeleteDrain(c.Context(), c.org, c.PathValue("drain"))
	return shown(s, w, c, d, err, same[saba.Drain])
}

// Limits of lines that are tried at once: each is looked at by every rule.
const (
	mostTried      = 1000
	mostTriedBytes = 256 << 10
)

// drainTryIn is a drain as it might be, and lines to try on it.
type drainTryIn struct {
	Drain drainIn  `json:"drain"` // its name and service do not matter
	Lines []string `json:"lines"`
}

// drainTryOut says what each of the lines would become, in their order.
type drainTryOut struct {
	Lines []triedLine `json:"lines"`
}

type triedLine struct {
	Text    string         `json:"text"`   // as it was read, without what carried it
	Source  string         `json:"source"` // the platform's part that wrote it; "" when it is none that is known
	Metrics []triedMetric  `json:"metrics"`
	Refused []triedRefusal `json:"refused"`
}

// triedMetric is one value of a line.
type triedMetric struct {
	Type   logline.Kind `json:"type"` // what becomes of it: sample, count, measure
	Rule   string       `json:"rule"` // the name of the rule that made it; "" for what any drain reads
	Value  float64      `json:"value"`
	Unit   saba.Unit    `json:"unit"`
	Source string       `json:"source"` // behind the names
	Names  []string     `json:"names"`  // of the metrics of the service that it counts for
}

type triedRefusal struct {
	Reason logline.Reason `json:"reason"`
	Text   string         `json:"text"` // what it is about, cut short
}

// drainTry says what a drain with such settings would make of lines, and keeps nothing.
func (s *server) drainTry(w http.ResponseWriter, c *call) error {
	var in drainTryIn
	if err := c.decode(&in); err != nil {
		return err
	}
	if len(in.Lines) > mostTried {
		return saba.Invalidf("lines", "may have %d elements, not %d", mostTried, len(in.Lines))
	}
	size := 0
	for _, l := range in.Lines {
		size += len(l)
	}
	if size > mostTriedBytes {
		return saba.Invalidf("lines", "may have %d KiB in all, not %d: try fewer", mostTriedBytes>>10, size>>10)
	}
	in.Drain.Name, in.Drain.Service = "try", "try"
	d, err := in.Drain.drain(saba.Drain{})
	if err != nil {
		return err
	}
	now := s.now()
	lines := make([]logline.Line, len(in.Lines))
	for i, l := range in.Lines {
		lines[i] = logline.Pasted([]byte(l), now)
	}
	results, err := logline.Try(&d, lines, now)
	if err != nil {
		return err
	}
	out := drainTryOut{Lines: make([]triedLine, len(results))}
	for i, r := range results {
		t := triedLine{Text: string(lines[i].Text), Source: r.Source, Metrics: []triedMetric{}, Refused: []triedRefusal{}}
		for _, rd := range r.Readings {
			t.Metrics = append(t.Metrics, triedMetric{rd.Kind, rd.Rule, rd.Value, rd.Unit, rd.Source, rd.Metrics()})
		}
		for _, no := range r.Refusals {
			t.Refused = append(t.Refused, triedRefusal(no))
		}
		out.Lines[i] = t
	}
	return s.json(w, c, out)
}
