package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
)

const (
	// lookedAtOnce is how many alerts a search for words reads at a time.
	lookedAtOnce = 500
	// mostLooked is how many alerts one page of a search for words looks at: one for what is nowhere must end.
	mostLooked = 20_000
)

// FindAlerts returns at most limit alerts that a filter selects, those opened last first, from the one with the id from on; "" means the newest. next is
// where the next page begins; "" when there is none. A page ends early, and may be empty, when it has looked at very many alerts. One that begins at an
// alert that does not exist is an error matching saba.ErrInvalid.
func (db *DB) FindAlerts(ctx context.Context, org string, f saba.AlertFilter, from string, limit int) (found []saba.Alert, next string, err error) {
	err = db.view(ctx, "search alerts", func(tx *sql.Tx) error {
		found, next = nil, ""
		where, args, err := selectAlerts(ctx, tx, org, f)
		if err != nil {
			return err
		}
		var names alertNames
		read := limit + 1
		if f.Text != "" {
			read = lookedAtOnce
			if names, err = readAlertNames(ctx, tx, org); err != nil {
				return err
			}
		}
		after, begin := "", []any(nil)
		page := func(limit int) ([]saba.Alert, error) {
			return list(ctx, tx, scanAlert, `SELECT `+alertColumns+` FROM alerts WHERE `+where+after+` ORDER BY opened_at DESC, id DESC LIMIT ?`, slices.Concat(args, begin, []any{limit})...)
		}
		if from != "" {
			first, err := readAlert(ctx, tx, org, from)
			if errors.Is(err, saba.ErrNotFound) {
				return saba.Invalidf("nextId", "must be what the page before gave: there is no alert %q", from)
			}
			if err != nil {
				return err
			}
			after, begin = ` AND (opened_at < ? OR opened_at = ? AND id <= ?)`, []any{first.OpenedAt, first.OpenedAt, first.ID}
		}
		for looked := 0; ; looked += read {
			if looked >= mostLooked {
				read = 1
			}
			alerts, err := page(read)
			if err != nil || len(alerts) == 0 {
				return err
			}
			if looked >= mostLooked {
				next = alerts[0].ID
				return nil
			}
			for _, a := range alerts {
				if f.Text != "" && !saba.HasWords(names.text(a), f.Text) {
					continue
				}
				if len(found) == limit {
					next = a.ID
					return nil
				}
				found = append(found, a)
			}
			if len(alerts) < read {
				return nil
			}
			last := alerts[len(alerts)-1]
			after, begin = ` AND (opened_at < ? OR opened_at = ? AND id < ?)`, []any{last.OpenedAt, last.OpenedAt, last.ID}
		}
	})
	return found, next, err
}

// selectAlerts returns a condition for the alerts that a filter selects but for its text, and its arguments.
func selectAlerts(ctx context.Context, tx *sql.Tx, org string, f saba.AlertFilter) (where string, args []any, err error) {
	where, args = `org = ?`, []any{org}
	and := func(condition string, of ...any) { where, args = where+` AND `+condition, append(args, of...) }
	if f.OnlyOpen {
		and(`closed_at = 0`)
	}
	if f.OnlyClosed {
		and(`closed_at <> 0`)
	}
	if f.Since != 0 {
		and(`(closed_at = 0 OR closed_at >= ?)`, f.Since)
	}
	if f.Until != 0 {
		and(`opened_at <= ?`, f.Until)
	}
	if f.Monitor != "" {
		and(`monitor = ?`, f.Monitor)
	}
	if f.Status != "" {
		and(`CASE closed_at WHEN 0 THEN status ELSE worst END = ?`, string(f.Status))
	}
	if f.Host != "" {
		hosts, err := allHosts(ctx, tx, org)
		if err != nil {
			return "", nil, err
		}
		ids := []any{f.Host}
		for _, h := range hosts {
			if slices.ContainsFunc([]string{h.Name, h.DisplayName, h.CustomIdentifier}, func(name string) bool { return strings.EqualFold(name, f.Host) }) {
				ids = append(ids, h.ID)
			}
		}
		and(`host IN (`+marks(len(ids))+`)`, ids...)
	}
	if f.Service != "" {
		all, err := monitors.all(ctx, tx, org)
		if err != nil {
			return "", nil, err
		}
		ids := []any{""}
		for _, m := range all {
			if m.Service == f.Service {
				ids = append(ids, m.ID)
			}
		}
		and(`(host IN (SELECT host FROM host_roles WHERE org = ? AND service = ?) OR monitor IN (`+marks(len(ids))+`))`, append([]any{org, f.Service}, ids...)...)
	}
	return where, args, nil
}

// allHosts returns id and names of all hosts, also of retired ones, whose alerts are kept.
func allHosts(ctx context.Context, tx *sql.Tx, org string) ([]saba.Host, error) {
	return list(ctx, tx, func(row scanner) (h saba.Host, err error) {
		err = row.Scan(&h.ID, &h.Name, &h.DisplayName, &h.CustomIdentifier)
		return h, err
	}, `SELECT id, name, display_name, custom_identifier FROM hosts WHERE org = ?`, org)
}

// alertNames has the words by which people know what alerts are about.
type alertNames struct {
	rules  map[string]saba.Monitor // by id; of a check its name alone
	places map[string]string       // by id of a host: its names and roles
}

func readAlertNames(ctx context.Context, tx *sql.Tx, org string) (n alertNames, err error) {
	n = alertNames{map[string]saba.Monitor{}, map[string]string{}}
	all, err := monitors.all(ctx, tx, org)
	if err != nil {
		return n, err
	}
	for _, m := range all {
		n.rules[m.ID] = m
	}
	each := func(what string, keep func(id, text string), query string) {
		if err != nil {
			return
		}
		if _, err = list(ctx, tx, func(row scanner) (_ struct{}, err error) {
			var id, text string
			err = row.Scan(&id, &text)
			keep(id, text)
			return struct{}{}, err
		}, query, org); err != nil {
			err = fmt.Errorf("list %s: %w", what, err)
		}
	}
	each("checks", func(id, name string) { n.rules[id] = saba.Monitor{Name: name} }, `SELECT id, name FROM checks WHERE org = ?`)
	each("hosts", func(id, names string) { n.places[id] = names }, `SELECT id, name || ' ' || display_name || ' ' || custom_identifier FROM hosts WHERE org = ?`)
	each("roles of hosts", func(id, role string) { n.places[id] += " " + role }, `SELECT host, service || ':' || role FROM host_roles WHERE org = ?`)
	return n, err
}

// text returns all that a search for words looks at.
func (n alertNames) text(a saba.Alert) string {
	m := n.rules[a.Monitor]
	return strings.Join([]string{m.NameFor(a.Series), m.Service, n.places[a.Host], a.Message, a.Reason, a.Memo}, " ")
}
