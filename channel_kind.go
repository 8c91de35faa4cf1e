package saba

import (
	"mime"
	"slices"
	"strings"
	"text/template/parse"
)

// A ChannelKind is what there is to know about a type of channels that clients can make.
type ChannelKind struct {
	Type   ChannelType
	Label  string         // the service's name
	About  string         // a sentence
	Fields []ChannelField // in the order of a form
	Events []string       // of ChannelEvents: what it can be told
	// Acknowledges says that its service knows what it is to acknowledge an alert: whoever is told of alerts by it is told of that as well.
	Acknowledges bool
}

// A ChannelField is something that there is to say about a channel. What checks channels, what reads and shows them over the API and what
// draws their form all work from it.
type ChannelField struct {
	Name     string // its JSON key, and what errors call it
	Label    string // what a form calls it
	Help     string // sentences about it; "" for none
	Hint     string // what stands in its empty input: an example, or what empty means
	Input    ChannelInput
	Required bool
	Secret   bool                 // it is set and never shown; an update without it keeps it
	Most     int                  // characters of a text and of each of the mentions, elements of a list
	Of       func(c *Channel) any // a pointer to its value

	fits func(s string) bool // nil where any text does
	must string              // what fits wants: "a topic of …"
}

// A ChannelInput says how a field is typed in, and what type its value has.
type ChannelInput string

// The inputs.
const (
	ChannelInputLine     ChannelInput = "line"     // *string of one line
	ChannelInputURL      ChannelInput = "url"      // *string: an address that begins with http:// or https://
	ChannelInputTemplate ChannelInput = "template" // *string of many lines
	ChannelInputTick     ChannelInput = "tick"     // *bool
	ChannelInputEmails   ChannelInput = "emails"   // *[]string: addresses
	ChannelInputAccounts ChannelInput = "accounts" // *[]string: ids of accounts
	ChannelInputMentions ChannelInput = "mentions" // *Mentions
	ChannelInputEvents   ChannelInput = "events"   // *[]string: of the kind's Events
)

// ChannelKindOf returns what is known of a type; ok is false for those that clients cannot make.
func ChannelKindOf(t ChannelType) (k ChannelKind, ok bool) {
	i := slices.IndexFunc(ChannelKinds, func(k ChannelKind) bool { return k.Type == t })
	if i < 0 {
		return ChannelKind{}, false
	}
	return ChannelKinds[i], true
}

// Shows says whether channels of the kind have a field that clients may read.
func (k ChannelKind) Shows(name string) bool {
	return slices.ContainsFunc(k.Fields, func(f ChannelField) bool { return f.Name == name && !f.Secret })
}

func (k ChannelKind) hides(name string) bool {
	return slices.ContainsFunc(k.Fields, func(f ChannelField) bool { return f.Name == name && f.Secret })
}

// Limits of channels.
const (
	maxMention     = 1000 // characters
	maxToken       = 500  // characters
	maxTemplate    = 16_384
	maxContentType = 100
)

// ChannelKinds lists the types that clients can make and change.
var ChannelKinds = []ChannelKind{
	{
		Type: ChannelSlack, Label: "Slack", About: "Messages with graph and buttons in a channel of Slack, by an incoming webhook.", Events: ChannelEvents,
		Fields: []ChannelField{channelName,
			{Name: "url", Label: "Webhook URL", Hint: "https://hooks.slack.com/services/…", Help: "Slack shows it when an incoming webhook is added to an app.",
				Input: ChannelInputURL, Required: true, Of: channelURL},
			mentions("<!here> or <@U012AB3CD>"), channelGraph, channelEvents},
	},
	{
		Type: ChannelEmail, Label: "E-mail", About: "Mail to addresses and to members of the organization.", Events: ChannelEvents,
		Fields: []ChannelField{channelName,
			{Name: "emails", Label: "Addresses", Hint: "ops@example.com", Input: ChannelInputEmails, Most: MaxReferences, Of: func(c *Channel) any { return &c.Emails }},
			{Name: "userIds", Label: "Members", Input: ChannelInputAccounts, Most: MaxReferences, Of: func(c *Channel) any { return &c.UserIDs }},
			channelEvents},
	},
	{
		Type: ChannelWebhook, Label: "Webhook", About: "JSON of the protocol, posted to an address of yours.", Events: ChannelEvents,
		Fields: []ChannelField{channelName,
			{Name: "url", Label: "Address", Hint: "https://example.com/alerts", Input: ChannelInputURL, Required: true, Of: channelURL}, channelGraph, channelEvents},
	},
	{
		Type: ChannelTeams, Label: "Microsoft Teams", About: "Cards in a channel or chat of Teams, by a workflow.", Events: ChannelEvents,
		Fields: []ChannelField{channelName,
			secretURL("Workflow URL", "https://….logic.azure.com/workflows/…", `Of the workflow "Post to a channel when a webhook request is received".`), channelGraph, channelEvents},
	},
	{
		Type: ChannelDiscord, Label: "Discord", About: "Messages with graph in a channel of Discord, by a webhook.", Events: ChannelEvents,
		Fields: []ChannelField{channelName,
			secretURL("Webhook URL", "https://discord.com/api/webhooks/…", "Discord shows it in the channel's settings, under Integrations."), mentions("@here or <@&role id>"), channelGraph, channelEvents},
	},
	{
		Type: ChannelMattermost, Label: "Mattermost", About: "Messages with graph in a channel of Mattermost, by an incoming webhook.", Events: ChannelEvents,
		Fields: []ChannelField{channelName,
			secretURL("Webhook URL", "https://mattermost.example.com/hooks/…", "Mattermost shows it when an incoming webhook is made."), mentions("@here or @name"), channelGraph, channelEvents},
	},
	{
		Type: ChannelPagerDuty, Label: "PagerDuty", About: "An incident for each alert, which is acknowledged and resolved with it.", Events: []string{"alert"}, Acknowledges: true,
		Fields: []ChannelField{channelName,
			{Name: "token", Label: "Integration key", Help: "Of an integration with the Events API v2.", Input: ChannelInputLine, Required: true, Secret: true, Most: maxToken, Of: channelToken,
				fits: isToken, must: "an integration key: letters and digits"},
			{Name: "url", Label: "Address", Hint: "https://events.pagerduty.com", Help: "Of another region: https://events.eu.pagerduty.com.", Input: ChannelInputURL, Of: channelURL},
			channelGraph, channelEvents},
	},
	{
		Type: ChannelTelegram, Label: "Telegram", About: "Messages with graph in a chat of Telegram, by a bot.", Events: ChannelEvents,
		Fields: []ChannelField{channelName,
			{Name: "token", Label: "Token of the bot", Hint: "123456:ABC…", Help: "@BotFather gives it.", Input: ChannelInputLine, Required: true, Secret: true, Most: maxToken, Of: channelToken,
				fits: isBotToken, must: "the token of a bot, a number and letters with a colon between: 123456:ABC…"},
			{Name: "to", Label: "Chat", Hint: "-1001234567890 or @channel", Help: "The id of a chat that the bot is in, or the name of a public channel.", Input: ChannelInputLine, Required: true, Most: 64, Of: channelTo,
				fits: isChat, must: "the id of a chat, such as -1001234567890, or the name of a public channel with an @ before it"},
			{Name: "url", Label: "Address", Hint: "https://api.telegram.org", Help: "Of a Bot API server of your own.", Input: ChannelInputURL, Of: channelURL},
			mentions("@name"), channelGraph, channelEvents},
	},
	{
		Type: ChannelNtfy, Label: "ntfy", About: "Push messages on phones and desktops that are subscribed to a topic of ntfy.", Events: ChannelEvents,
		Fields: []ChannelField{channelName,
			{Name: "to", Label: "Topic", Hint: "ops-4f81c2", Help: "Whoever knows a topic without access control can read it.", Input: ChannelInputLine, Required: true, Most: 64, Of: channelTo,
				fits: isTopic, must: "a topic of letters, digits, - and _"},
			{Name: "url", Label: "Address", Hint: "https://ntfy.sh", Help: "Of a server of your own.", Input: ChannelInputURL, Of: channelURL},
			{Name: "token", Label: "Access token", Hint: "tk_…", Help: "Of a topic with access control.", Input: ChannelInputLine, Secret: true, Most: maxToken, Of: channelToken,
				fits: isToken, must: "an access token: letters, digits and signs, without blanks"},
			channelGraph, channelEvents},
	},
	{
		Type: ChannelTemplate, Label: "Template", About: "Any service that takes a text over HTTP: you write the body.", Events: ChannelEvents,
		Fields: []ChannelField{channelName,
			secretURL("Address", "https://example.com/notify", "The body is posted to it."),
			{Name: "token", Label: "Token", Help: "Sent as Authorization: Bearer.", Input: ChannelInputLine, Secret: true, Most: maxToken, Of: channelToken,
				fits: isToken, must: "a token of letters, digits and signs, without blanks"},
			{Name: "template", Label: "Body", Hint: `{"text": {{json .Title}}}`, Help: "A template of Go's text/template; docs/channels.md lists what it may use.",
				Input: ChannelInputTemplate, Required: true, Most: maxTemplate, Of: func(c *Channel) any { return &c.Template }},
			{Name: "contentType", Label: "Content type", Hint: "application/json", Input: ChannelInputLine, Most: maxContentType, Of: func(c *Channel) any { return &c.ContentType },
				fits: isMediaType, must: "a media type such as application/json or text/plain; charset=utf-8"},
			channelGraph, channelEvents},
	},
}

// The fields that many kinds have.
var (
	channelName = ChannelField{Name: "name", Label: "Name", Input: ChannelInputLine, Required: true, Most: MaxObjectName, Of: func(c *Channel) any { return &c.Name }}

	channelGraph = ChannelField{Name: "enabledGraphImage", Label: "Show the graph", Help: "Whoever sees the message can see the graph.", Input: ChannelInputTick,
		Of: func(c *Channel) any { return &c.EnabledGraphImage }}

	channelEvents = ChannelField{Name: "events", Label: "Is told of", Input: ChannelInputEvents, Most: MaxReferences, Of: func(c *Channel) any { return &c.Events }}
)

func channelURL(c *Channel) any   { return &c.URL }
func channelToken(c *Channel) any { return &c.Token }
func channelTo(c *Channel) any    { return &c.To }

// secretURL is the field of an address with which anybody could send messages.
func secretURL(label, hint, help string) ChannelField {
	return ChannelField{Name: "url", Label: label, Hint: hint, Help: help, Input: ChannelInputURL, Required: true, Secret: true, Of: channelURL}
}

func mentions(hint string) ChannelField {
	return ChannelField{Name: "mentions", Label: "Mentions", Hint: hint, Help: "They go before the message, as the service writes them. UNKNOWN has those of CRITICAL.", Input: ChannelInputMentions,
		Most: maxMention, Of: func(c *Channel) any { return &c.Mentions }}
}

// isToken says whether a text may stand in a header: what is visible of ASCII.
func isToken(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func isBotToken(s string) bool {
	id, secret, ok := strings.Cut(s, ":")
	return ok && allOf(id, isDigit) && allOf(secret, isTopicRune)
}

func isChat(s string) bool {
	if name, ok := strings.CutPrefix(s, "@"); ok {
		return allOf(name, isTopicRune)
	}
	return allOf(strings.TrimPrefix(s, "-"), isDigit)
}

func isTopic(s string) bool { return allOf(s, isTopicRune) }

func isMediaType(s string) bool {
	_, _, err := mime.ParseMediaType(s)
	return err == nil && strings.Contains(s, "/") && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

func isTopicRune(r rune) bool {
	return isDigit(r) || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '-' || r == '_'
}

// allOf says whether s holds something, and nothing but what is wanted.
func allOf(s string, is func(rune) bool) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !is(r) })
}

// TemplateFunctions lists the functions of a channel's template: those of text/template that make no trouble, and json.
var TemplateFunctions = []string{
	"and", "eq", "ge", "gt", "html", "index", "json", "le", "len", "lt", "ne", "not", "or", "print", "printf", "println", "slice", "urlquery",
}

// checkTemplate checks the grammar of a template and the names of its functions. What it executes is not its matter: package
// text/template makes the linker keep every method of a program, also in the agent, which has this package as well.
func checkTemplate(field, text string) error {
	functions := map[string]any{}
	for _, name := range TemplateFunctions {
		functions[name] = true // of whatever kind: it is not called
	}
	if _, err := parse.Parse("template", text, "", "", functions); err != nil {
		reason := strings.TrimPrefix(err.Error(), "template: template:")
		return Invalidf(field, "must be a template: line %s", reason)
	}
	return nil
}
