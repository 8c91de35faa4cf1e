package web

import (
	"github.com/saba-monitor/saba"
)

// A channelForm is a channel as its form has it. Secrets are empty unless they were typed.
type channelForm struct {
	saba.Channel
	Forget    bool // the token that is kept
	ToDefault bool // a new one joins the default notification group
}

// eventLabels are what a channel may be told of, in words.
var eventLabels = map[string]string{
	"alert": "alerts", "alertGroup": "groups of alerts", "hostStatus": "statuses of hosts that are changed", "hostRegister": "new hosts", "hostRetire": "hosts that are retired", "monitor": "changes of monitors",
	"alertHandling": "who acknowledges alerts and takes care of them",
}

// mentionLevels are the parts of mentions.
var mentionLevels = []struct {
	name, label string
	of          func(m *saba.Mentions) *string
}{
	{"critical", "when CRITICAL or UNKNOWN", func(m *saba.Mentions) *string { return &m.Critical }},
	{"warning", "when WARNING", func(m *saba.Mentions) *string { return &m.Warning }},
	{"ok", "when OK again", func(m *saba.Mentions) *string { return &m.OK }},
}

// channelInputs are the inputs of a form for those of a kind's declaration.
var channelInputs = map[saba.ChannelInput]inputKind{
	saba.ChannelInputLine: inputLine, saba.ChannelInputURL: inputLine, saba.ChannelInputTemplate: inputCode, saba.ChannelInputTick: inputTick,
	saba.ChannelInputEmails: inputLines, saba.ChannelInputAccounts: inputPicks, saba.ChannelInputEvents: inputDays,
}

// The headings of a channel's form.
const (
	partService  = "Where"
	partMessages = "What it is told"
)

// channelFormOf returns the form of a kind of channels. old is the channel that is changed; its ID is "" for a new one.
func channelFormOf(kind saba.ChannelKind, old saba.Channel, members []saba.Member) form[channelForm] {
	f := form[channelForm]{lists: map[string][]group{}}
	var people, events group
	for _, m := range members {
		people.Choices = append(people.Choices, choice{Value: m.ID, Label: nameOf(m)})
	}
	for _, e := range kind.Events {
		events.Choices = append(events.Choices, choice{Value: e, Label: eventLabels[e]})
	}
	f.lists["members"], f.lists["events"] = []group{people}, []group{events}
	for _, of := range kind.Fields {
		d := field[channelForm]{
			name: of.Name, label: of.Label, help: of.Help, hint: of.Hint, part: partService, input: channelInputs[of.Input], required: of.Required,
			of: func(v *channelForm) any { return of.Of(&v.Channel) },
		}
		switch of.Input {
		case saba.ChannelInputMentions:
			for i, l := range mentionLevels {
				m := field[channelForm]{
					name: of.Name + "." + l.name, label: of.Label + " " + l.label, hint: of.Hint, part: partMessages, input: inputLine,
					of: func(v *channelForm) any { return l.of(of.Of(&v.Channel).(*saba.Mentions)) },
				}
				if i == len(mentionLevels)-1 {
					m.help = of.Help
				}
				f.fields = append(f.fields, m)
			}
			continue
		case saba.ChannelInputEvents:
			d.from, d.part, d.noun = "events", partMessages, "The choice"
		case saba.ChannelInputTick:
			d.part = partMessages
		case saba.ChannelInputAccounts:
			d.from, d.noun = "members", "The choice"
		case saba.ChannelInputEmails:
			d.help = "One a line."
		}
		if !of.Secret {
			f.fields = append(f.fields, d)
			continue
		}
		d.input = inputSecret
		kept := old.ID != "" && *of.Of(&old).(*string) != ""
		if kept {
			d.required, d.hint = false, "kept as it is"
		}
		f.fields = append(f.fields, d)
		if kept && !of.Required { // one that is required is only ever replaced
			f.fields = append(f.fields, field[channelForm]{name: forgetField, label: "Forget the " + lower(of.Label), part: partService, input: inputTick,
				of: func(v *channelForm) any { return &v.Forget }})
		}
	}
	if old.ID == "" {
		f.fields = append(f.fields, field[channelForm]{name: "toDefault", label: "In the group " + saba.DefaultGroupName, part: partMessages, input: inputTick,
			help: "It is told of all hosts and monitors then. Otherwise add it to a notification group.", of: func(v *channelForm) any { return &v.ToDefault }})
	}
	return f
}

// forgetField is the field of a form with which an optional token is taken away.
const forgetField = "forget"

// newChannel returns a channel of a kind as its form begins.
func newChannel(kind saba.ChannelKind) channelForm {
	ch := saba.Channel{Type: kind.Type, EnabledGraphImage: true, Events: []string{kind.Events[0]}}
	return channelForm{Channel: ch, ToDefault: true}
}

// withoutChannelSecrets returns a channel as pages show it.
func withoutChannelSecrets(c saba.Channel) saba.Channel {
	kind, ok := saba.ChannelKindOf(c.Type)
	if !ok {
		c.URL, c.Token = "", ""
	}
	for _, f := range kind.Fields {
		if f.Secret {
			*f.Of(&c).(*string) = ""
		}
	}
	return c
}
