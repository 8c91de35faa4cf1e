package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/logline"
)

// Offers are the part "offers": monitors that are suggested for what lines said.
type offers struct {
	Groups    []offerGroup
	Count     int
	All       string     // where to post that all shall be made; "" where they are of several drains
	Dismissed []roleLink // the drains that have suggestions which nobody wants
}

// A shownOffers is offers on a page.
type shownOffers struct {
	Offers *offers
	Open   bool
	Back   string // "drain" or "service": the page to come back to
}

// openOffers is how many suggestions may stand before what a page is about.
const openOffers = 3

// On returns o for a page.
func (o *offers) On(back string) shownOffers {
	return shownOffers{o, back == "drain" && o.Count <= openOffers, back}
}

// An offerGroup is what is suggested for one source.
type offerGroup struct {
	Source string
	Offers []offer
}

// An offer is a suggested monitor as pages show it.
type offer struct {
	logline.Suggestion
	Rule   []string // in words
	Form   string   // address of the monitor's form with the suggestion in it
	Action string   // where what to do with it is posted
}

// offersOf returns what is suggested for the drains of a service and is neither there nor dismissed; nil for nothing.
func (c *console) offersOf(ctx context.Context, org string, drains []saba.Drain, service saba.Service) (*offers, error) {
	names, err := c.recentNames(ctx, org, service)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	monitors, err := c.Store.Monitors(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list monitors: %w", err)
	}
	out := offers{}
	seen := map[string]bool{} // drains of the same prefix are suggested the same
	for _, d := range drains {
		at := "/log-drains/" + url.PathEscape(d.ID)
		gone := 0
		for _, s := range logline.Suggest(&d, names) {
			if slices.Contains(d.Dismissed, s.Key) {
				gone++
				seen[s.Monitor.Name] = true
				continue
			}
			if seen[s.Monitor.Name] || s.Made(monitors) {
				continue
			}
			seen[s.Monitor.Name] = true
			o := offer{Suggestion: s, Rule: offeredWords(s.Monitor), Action: at + "/suggestions"}
			o.Form = "/monitors/new?" + url.Values{"drain": {d.ID}, "suggestion": {s.Key}, "type": {string(s.Monitor.Type)}}.Encode()
			i := slices.IndexFunc(out.Groups, func(g offerGroup) bool { return g.Source == s.Source })
			if i < 0 {
				i = len(out.Groups)
				out.Groups = append(out.Groups, offerGroup{Source: s.Source})
			}
			out.Groups[i].Offers = append(out.Groups[i].Offers, o)
			out.Count++
		}
		if gone > 0 {
			out.Dismissed = append(out.Dismissed, roleLink{count(gone, "dismissed suggestion"), at + "/suggestions"})
		}
	}
	if len(drains) == 1 && out.Count > 1 {
		out.All = "/log-drains/" + url.PathEscape(drains[0].ID) + "/suggestions"
	}
	if out.Count == 0 && len(out.Dismissed) == 0 {
		return nil, nil
	}
	return &out, nil
}

// offeredWords are conditionWords in a list, which has no room for a query.
func offeredWords(m saba.Monitor) []string {
	if m.Type == saba.MonitorQuery {
		return thresholdWords(m, "a query")
	}
	return conditionWords(m)
}

// recentNames returns the names of the metrics of a service that have arrived within two days.
func (c *console) recentNames(ctx context.Context, org string, service saba.Service) ([]string, error) {
	names, _, err := c.Samples.NamesOf(ctx, org, "", service.Series)
	if err != nil {
		return nil, fmt.Errorf("list the metrics of service %s: %w", service.Name, err)
	}
	since := c.Now().Unix() - proposedSince
	return slices.DeleteFunc(names, func(n string) bool {
		last, ok := c.Samples.Latest(saba.Series{Org: org, Service: service.Series, Name: n})
		return !ok || last.Time < since
	}), nil
}

// suggestions returns what is suggested for a drain, whether it is there, dismissed or neither.
func (c *console) suggestions(ctx context.Context, org string, d saba.Drain) ([]logline.Suggestion, error) {
	services, err := c.Store.Services(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	i := slices.IndexFunc(services, func(s saba.Service) bool { return s.Name == d.Service })
	if i < 0 {
		return nil, nil
	}
	names, err := c.recentNames(ctx, org, services[i])
	if err != nil {
		return nil, err
	}
	return logline.Suggest(&d, names), nil
}

// suggestedMonitor returns the monitor of a suggestion.
func (c *console) suggestedMonitor(ctx context.Context, v visitor, drain, key string) (saba.Monitor, error) {
	d, err := c.Store.Drain(ctx, v.Org, drain)
	if err != nil {
		return saba.Monitor{}, err
	}
	all, err := c.suggestions(ctx, v.Org, d)
	if err != nil {
		return saba.Monitor{}, err
	}
	i := slices.IndexFunc(all, func(s logline.Suggestion) bool { return s.Key == key })
	if i < 0 {
		return saba.Monitor{}, errNotSuggested
	}
	return all[i].Monitor, nil
}

var errNotSuggested = saba.Errorf(saba.ErrNotFound, "This is not suggested any more: its metric does not arrive.")

// suggestionsDo makes what is suggested for a drain, one or all that is offered, or dismisses one, or offers again what was dismissed: "do" says which.
func (c *console) suggestionsDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx := r.Context()
	d, err := c.drain(r, v)
	if err != nil {
		return err
	}
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	all, err := c.suggestions(ctx, v.Org, d)
	if err != nil {
		return err
	}
	key := r.PostForm.Get("key")
	one := slices.IndexFunc(all, func(s logline.Suggestion) bool { return s.Key == key })
	back := "/log-drains/" + url.PathEscape(d.ID)
	if r.PostForm.Get("back") == "service" {
		back = "/services/" + url.PathEscape(d.Service)
	}
	change := func(change func(dismissed []string) []string) error {
		_, err := c.Store.UpdateDrain(ctx, v.Org, d.ID, func(is saba.Drain) (saba.Drain, error) {
			is.Dismissed = change(is.Dismissed)
			return is, is.Check()
		})
		return err
	}
	switch do := r.PostForm.Get("do"); do {
	case "restore":
		err = change(func([]string) []string { return nil })
	case "dismiss":
		if one < 0 {
			return errNotSuggested
		}
		err = change(func(dismissed []string) []string {
			if slices.Contains(dismissed, key) {
				return dismissed
			}
			return append(dismissed[max(0, len(dismissed)+1-saba.MaxDismissed):], key)
		})
	case "make", "all":
		if do == "make" {
			if one < 0 {
				return errNotSuggested
			}
			all = all[one : one+1]
		} else {
			all = slices.DeleteFunc(all, func(s logline.Suggestion) bool { return slices.Contains(d.Dismissed, s.Key) })
		}
		var made int
		if made, err = c.makeSuggested(ctx, v, all); err == nil {
			back += "?made=" + strconv.Itoa(made)
		}
	default:
		return saba.Errorf(saba.ErrInvalid, "A suggestion is made or dismissed: go back and press one of the buttons.")
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}

// makeSuggested makes those of the monitors that are not there yet, and returns how many.
func (c *console) makeSuggested(ctx context.Context, v visitor, all []logline.Suggestion) (made int, err error) {
	monitors, err := c.Store.Monitors(ctx, v.Org)
	if err != nil {
		return 0, fmt.Errorf("list monitors: %w", err)
	}
	for _, s := range all {
		if s.Made(monitors) {
			continue
		}
		m := s.Monitor
		if m.ID, err = c.newID(); err != nil {
			return made, err
		}
		if err := m.Check(c.Now().Unix()); err != nil {
			return made, err
		}
		if err := c.Store.CreateMonitor(ctx, v.Org, m); errors.Is(err, saba.ErrConflict) {
			continue
		} else if err != nil {
			return made, err
		}
		c.Log.Info("a suggested monitor was made", "monitor", m.ID, "name", m.Name, "by", v.User)
		monitors = append(monitors, m)
		made++
	}
	return made, nil
}
