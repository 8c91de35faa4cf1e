package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
)

// channelsPage is page/channels.html.
type channelsPage struct {
	layout
	Rows []channelRow
}

// A channelRow is a channel in a list. It has no secrets.
type channelRow struct {
	saba.Channel
	URL    string
	Kind   string     // of the channel, in words
	Groups []roleLink // that it is in
	Told   []string   // of what, in words
	ToldAt int64      // when it was told last; 0 for never, or long ago
	State  channelState
}

// A channelState says whether a channel can be told.
type channelState struct {
	Stopped int64  // it is suspended since
	Failing int64  // it has not been reached since; 0 when it was, or was not tried
	Tries   int64  // since then
	Next    int64  // when it is tried again
	Why     string // what its service said last; "" when nothing is known
}

// troubleAfter is how long a channel cannot be reached before every page says so, in seconds; then the other channels are told too.
const troubleAfter = 300

// channelTroubles returns the channels by which nobody is told at the moment.
func (c *console) channelTroubles(ctx context.Context, org string) ([]trouble, error) {
	channels, err := c.Store.Channels(ctx, org)
	if err != nil || len(channels) == 0 {
		return nil, err
	}
	waiting, err := c.Store.NextNotifications(ctx, org)
	if err != nil {
		return nil, err
	}
	now := c.Now().Unix()
	var all []trouble
	for _, ch := range channels {
		t := trouble{URL: "/channels/" + url.PathEscape(ch.ID), Link: "See what it says"}
		switch s := stateOf(ch, waiting); {
		case s.Stopped != 0:
			t.Text = fmt.Sprintf("The channel %q is suspended: nobody is told by it until somebody releases it.", clip(ch.Name))
		case s.Failing != 0 && now-s.Failing >= troubleAfter:
			t.Text = fmt.Sprintf("The channel %q has not been reached for %s: messages wait.", clip(ch.Name), span(now-s.Failing))
		default:
			continue
		}
		all = append(all, t)
	}
	const most = 3
	if more := len(all) - most; more > 0 {
		all = append(all[:most], trouble{Text: fmt.Sprintf("%s as well.", count(more, "other channel")), URL: "/channels", Link: "All channels"})
	}
	return all, nil
}

// stateOf returns the state of a channel. waiting has of each channel the oldest notification that waits.
func stateOf(ch saba.Channel, waiting []saba.Notification) channelState {
	if ch.SuspendedAt != 0 {
		return channelState{Stopped: ch.SuspendedAt}
	}
	i := slices.IndexFunc(waiting, func(n saba.Notification) bool { return n.Channel == ch.ID })
	if i < 0 || waiting[i].Attempts == 0 {
		return channelState{}
	}
	n := waiting[i]
	return channelState{Failing: n.FirstTry, Tries: n.Attempts, Next: n.NextTry, Why: n.Detail}
}

// channelRows returns channels as lists show them.
func (c *console) channelRows(ctx context.Context, org string, channels []saba.Channel) ([]channelRow, error) {
	groups, err := c.Store.NotificationGroups(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list notification groups: %w", err)
	}
	waiting, err := c.Store.NextNotifications(ctx, org)
	if err != nil {
		return nil, err
	}
	told, err := c.Store.LastTold(ctx, org)
	if err != nil {
		return nil, err
	}
	rows := make([]channelRow, len(channels))
	for i, ch := range channels {
		row := channelRow{Channel: withoutChannelSecrets(ch), URL: "/channels/" + url.PathEscape(ch.ID), Kind: string(ch.Type), ToldAt: told[ch.ID], State: stateOf(ch, waiting)}
		if kind, ok := saba.ChannelKindOf(ch.Type); ok {
			row.Kind = kind.Label
		}
		for _, g := range groups {
			if slices.Contains(g.Channels, ch.ID) {
				row.Groups = append(row.Groups, roleLink{g.Name, "/notification-groups/" + url.PathEscape(g.ID)})
			}
		}
		for _, e := range ch.Events {
			row.Told = append(row.Told, eventLabels[e])
		}
		rows[i] = row
	}
	return rows, nil
}

// ToldWords says of what the channel is told: "alerts and new hosts".
func (r channelRow) ToldWords() string {
	if len(r.Told) == len(saba.ChannelEvents) {
		return "everything"
	}
	return listWords(r.Told)
}

func (c *console) channelList(w http.ResponseWriter, r *http.Request, v visitor) error {
	channels, err := c.Store.Channels(r.Context(), v.Org)
	if err != nil {
		return fmt.Errorf("list channels: %w", err)
	}
	p := channelsPage{layout: layoutFor(v, "channels", "Channels")}
	if p.Rows, err = c.channelRows(r.Context(), v.Org, channels); err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "channels", p)
}

// channelPage is page/channel.html: the form of a channel, or what it is for those who may not change it.
type channelPage struct {
	layout
	Kinds  []saba.ChannelKind // to choose from; nil when one is chosen
	Kind   saba.ChannelKind   // the zero kind for channels that can only be read
	Row    channelRow
	New    bool
	Action string
	Parts  []formPart
	Error  string // that belongs to no field
	Wrong  bool
	Saved  bool
	Tested bool   // somebody has just tried it
	Failed string // why nothing was told then; "" when something was
}

// channel returns a channel of the visitor's organization.
func (c *console) channel(r *http.Request, v visitor) (saba.Channel, error) {
	all, err := c.Store.Channels(r.Context(), v.Org)
	if err != nil {
		return saba.Channel{}, fmt.Errorf("list channels: %w", err)
	}
	i := slices.IndexFunc(all, func(ch saba.Channel) bool { return ch.ID == r.PathValue("id") })
	if i < 0 {
		return saba.Channel{}, saba.Errorf(saba.ErrNotFound, "There is no such channel: it may have been deleted already.")
	}
	return all[i], nil
}

// channelNew shows the types of channels, or the empty form of one.
func (c *console) channelNew(w http.ResponseWriter, r *http.Request, v visitor) error {
	kind, ok := saba.ChannelKindOf(saba.ChannelType(r.URL.Query().Get("type")))
	if !ok {
		return c.render(w, r, http.StatusOK, "channel", channelPage{layout: layoutFor(v, "channels", "New channel"), New: true, Kinds: saba.ChannelKinds})
	}
	return c.showChannel(w, r, v, http.StatusOK, channelPage{}, saba.Channel{Type: kind.Type}, newChannel(kind), nil)
}

func (c *console) channelShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	ch, err := c.channel(r, v)
	if err != nil {
		return err
	}
	return c.showChannel(w, r, v, http.StatusOK, channelPage{}, ch, channelForm{Channel: ch}, nil)
}

// showChannel shows the form of a channel. old is the channel itself; its ID is "" for a new one.
func (c *console) showChannel(w http.ResponseWriter, r *http.Request, v visitor, code int, p channelPage, old saba.Channel, values channelForm, wrong faults) error {
	ctx := r.Context()
	kind, known := saba.ChannelKindOf(old.Type)
	p.Kind, p.New, p.Error, p.Wrong, p.Saved = kind, old.ID == "", wrong[""], code != http.StatusOK, r.URL.Query().Get("saved") != ""
	title := old.Name
	p.Action = "/channels/" + url.PathEscape(old.ID)
	if p.New {
		title, p.Action = "New channel: "+kind.Label, "/channels/new?type="+url.QueryEscape(string(old.Type))
	} else {
		rows, err := c.channelRows(ctx, v.Org, []saba.Channel{old})
		if err != nil {
			return err
		}
		p.Row = rows[0]
		if p.Row.State.Stopped != 0 {
			if p.Row.State.Why, err = c.lastTrouble(ctx, v.Org, old.ID); err != nil {
				return err
			}
		}
	}
	p.layout = layoutFor(v, "channels", title)
	if v.Write && known {
		members, err := c.Store.Members(ctx, v.Org)
		if err != nil {
			return fmt.Errorf("list the members: %w", err)
		}
		f := channelFormOf(kind, old, members)
		p.Parts = f.draw(&values, nil, wrong)
	}
	return c.render(w, r, code, "channel", p)
}

// lastTrouble returns why a channel could not be reached when that was told last; "" when it was not.
func (c *console) lastTrouble(ctx context.Context, org, channel string) (string, error) {
	events, err := c.Store.EventsOf(ctx, org, channel, 1)
	if err != nil || len(events) == 0 {
		return "", err
	}
	return events[0].Trouble, nil
}

// channelSave makes a channel or changes one. A secret that was left empty stays as it was.
func (c *console) channelSave(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx := r.Context()
	old := saba.Channel{Type: saba.ChannelType(r.URL.Query().Get("type"))}
	if r.PathValue("id") != "" {
		var err error
		if old, err = c.channel(r, v); err != nil {
			return err
		}
	}
	kind, ok := saba.ChannelKindOf(old.Type)
	if !ok {
		return saba.Errorf(saba.ErrInvalid, "Channels of the type %q cannot be made or changed here.", clip(string(old.Type)))
	}
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	f := channelFormOf(kind, old, nil)
	values := channelForm{Channel: saba.Channel{ID: old.ID, Type: old.Type}}
	wrong := f.read(&values, r.PostForm)
	made := func(is saba.Channel) (saba.Channel, error) {
		ch := values.Channel
		ch.SuspendedAt = is.SuspendedAt
		var cleared []string
		if values.Forget {
			cleared = []string{"token"}
		}
		if err := ch.KeepSecrets(&is, cleared...); err != nil {
			return ch, err
		}
		return ch, ch.Check()
	}
	ch, err := values.Channel, error(nil)
	switch {
	case len(wrong) > 0:
	case old.ID == "":
		if ch, err = made(old); err == nil {
			if ch.ID, err = c.newID(); err == nil {
				err = c.Store.CreateChannel(ctx, v.Org, ch, values.ToDefault)
			}
		}
	default:
		ch, err = c.Store.UpdateChannel(ctx, v.Org, old.ID, made)
	}
	if err != nil && !f.blame(wrong, &values, err) {
		return err
	}
	if len(wrong) > 0 {
		return c.showChannel(w, r, v, http.StatusBadRequest, channelPage{}, old, values, wrong)
	}
	c.Log.Info("a channel was saved", "channel", ch.ID, "name", ch.Name, "new", old.ID == "", "by", v.User)
	http.Redirect(w, r, "/channels/"+url.PathEscape(ch.ID)+"?saved=1", http.StatusSeeOther)
	return nil
}

// channelTestDo sends a test to a channel, and says on its page what came of that.
func (c *console) channelTestDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	ch, err := c.channel(r, v)
	if err != nil {
		return err
	}
	if c.Notifier == nil {
		return saba.Errorf(saba.ErrUnavailable, "This server tells no channels.")
	}
	p := channelPage{Tested: true}
	if err := c.Notifier.Test(r.Context(), ch, v.User); errors.Is(err, saba.ErrUntold) || errors.Is(err, saba.ErrInvalid) {
		p.Failed = sentence(err)
	} else if err != nil {
		return err
	}
	c.Log.Info("a channel was tried", "channel", ch.ID, "name", ch.Name, "told", p.Failed == "", "by", v.User)
	return c.showChannel(w, r, v, http.StatusOK, p, ch, channelForm{Channel: ch}, nil)
}

func (c *console) channelReleaseDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	id := r.PathValue("id")
	if err := c.Store.SuspendChannel(r.Context(), v.Org, id, 0, ""); err != nil {
		return err
	}
	c.Log.Info("a channel was released", "channel", id, "by", v.User)
	http.Redirect(w, r, "/channels/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}

func (c *console) channelDelete(w http.ResponseWriter, r *http.Request, v visitor) error {
	ch, err := c.channel(r, v)
	if err != nil {
		return err
	}
	rows, err := c.channelRows(r.Context(), v.Org, []saba.Channel{ch})
	if err != nil {
		return err
	}
	at := rows[0].URL
	p := confirmPage{
		layout: layoutFor(v, "channels", "Delete "+ch.Name+"?"), Crumbs: []crumb{{"Channels", "/channels"}, {ch.Name, at}},
		Action: at + "/delete", Do: "Delete this channel", Back: at,
	}
	var groups []string
	for _, g := range rows[0].Groups {
		groups = append(groups, g.Label)
	}
	if len(groups) > 0 {
		p.Text = append(p.Text, fmt.Sprintf("It is in %s (%s), where nobody is told by it any more.", count(len(groups), "notification group"), listWords(groups)))
	}
	p.Text = append(p.Text, "What waits for it is not sent, and its secrets are lost.")
	return c.render(w, r, http.StatusOK, "confirm", p)
}

func (c *console) channelDeleteDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	ch, err := c.Store.DeleteChannel(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	c.Log.Info("a channel was deleted", "channel", ch.ID, "name", ch.Name, "by", v.User)
	http.Redirect(w, r, "/channels", http.StatusSeeOther)
	return nil
}

// lower returns a label as it stands within a sentence.
func lower(label string) string {
	first, size := utf8.DecodeRuneInString(label)
	return string(unicode.ToLower(first)) + label[size:]
}
