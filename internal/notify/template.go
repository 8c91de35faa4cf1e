package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/saba-monitor/saba"
)

// byTemplate posts what a template of the user's makes of a message.
type byTemplate struct{ service }

// Limits of a template at work.
const (
	templateBody  = 256 << 10       // bytes that it may yield
	templateValue = 64 << 10        // bytes of one value: two of it in one, again and again, would fill the memory
	templateTime  = 2 * time.Second // within which it must have ended
	templateUses  = 1000            // how often it may use templates that it defines
)

// What templates read (docs/channels.md). Texts are as they are: json and urlquery write them for their place.
type templateData struct {
	Org      string
	Event    string // a saba.EventKind
	Trigger  string // of an alert: what moved it; "still" for one that is told again
	Action   string // of a monitor, and of whoever handles an alert: what was done
	Status   string // OK, WARNING, CRITICAL, UNKNOWN; "" for what has none
	Title    string
	Text     string
	Rule     string // name of the monitor or check
	Host     string
	Service  string
	Roles    []string // "service:role"
	Value    string   // "91.2 > 80"
	Memo     string
	ID       string // of the alert, or of what else it is about
	Link     string
	Picture  string // address of the graph
	Colour   string // #rrggbb
	At       int64  // Unix seconds, as are the others
	OpenedAt int64
	ClosedAt int64  // 0 while it is open
	Lasted   string // "2 h 5 min", of what has ended
	Key      string // the same for every try
	Facts    []Fact
}

// Send implements Sender.
func (s byTemplate) Send(ctx context.Context, c saba.Channel, m Message) error {
	body, err := execute(c.Template, newTemplateData(&m, &c), s.now)
	if err != nil {
		return Final(err)
	}
	contentType := c.ContentType
	if contentType == "" {
		contentType = "application/json"
	}
	if media, _, err := mime.ParseMediaType(contentType); err == nil && (media == "application/json" || strings.HasSuffix(media, "+json")) && !json.Valid(body) {
		return Final(errors.New("the template does not yield JSON: write texts as {{json .Title}}, without quotes around it"))
	}
	header := http.Header{"Idempotency-Key": {m.Key}}
	if c.Token != "" {
		header.Set("Authorization", "Bearer "+c.Token)
	}
	_, err = s.ask(ctx, request{url: c.URL, contentType: contentType, header: header, body: body, secrets: []string{c.Token}})
	return err
}

func newTemplateData(m *Message, c *saba.Channel) templateData {
	out := templateData{
		Org: m.Org.Name, Event: string(m.Kind), Trigger: string(m.Trigger), Status: string(m.Status()), Title: m.Title(), Text: m.Text(), Rule: m.Rule(),
		Action: string(m.Action), Value: m.Value(), Memo: m.Memo, ID: m.Subject, Link: m.Link(), Picture: m.picture(c), Colour: m.Colour(), At: m.At, Key: m.Key, Facts: m.Facts(),
	}
	if m.Host != nil {
		out.Host = m.Host.Label()
		for _, r := range m.Host.Roles {
			out.Roles = append(out.Roles, r.String())
		}
	}
	if m.Service != nil {
		out.Service = m.Service.Name
	}
	switch {
	case m.Group != nil:
		out.Rule, out.OpenedAt, out.ClosedAt = m.Setting.Name, m.Group.OpenedAt, m.Group.ClosedAt
	case m.Alert != nil:
		out.OpenedAt, out.ClosedAt = m.Alert.OpenedAt, m.Alert.ClosedAt
	}
	if out.ClosedAt != 0 {
		out.Lasted = lasted(out.ClosedAt - out.OpenedAt)
	}
	return out
}

// errTooLong says that a template was broken off.
var errTooLong = fmt.Errorf("the template yields more than %d KiB", templateBody>>10)

// execute fills a template within the limits.
func execute(text string, data any, now func() time.Time) ([]byte, error) {
	start, entered := now(), 0
	tick := func() (string, error) {
		if now().Sub(start) > templateTime {
			return "", fmt.Errorf("it takes longer than %d s", int(templateTime/time.Second))
		}
		return "", nil
	}
	enter := func() (string, error) {
		if entered++; entered > templateUses {
			return "", fmt.Errorf("it uses templates more than %d times", templateUses)
		}
		return tick()
	}
	t, err := template.New("template").Funcs(template.FuncMap{
		"json": toJSON, "print": bounded(fmt.Sprint), "println": bounded(fmt.Sprintln), "html": bounded(template.HTMLEscaper),
		"urlquery": bounded(template.URLQueryEscaper), "printf": printf, tickName: tick, enterName: enter,
	}).Parse(text)
	if err != nil {
		return nil, errors.New("the template cannot be read: set it anew")
	}
	for _, t := range t.Templates() {
		watch(t.Tree, t.Root)
		t.Root.Nodes = append([]parse.Node{call(t.Tree, enterName)}, t.Root.Nodes...)
	}
	out := &boundedBuffer{}
	switch err := t.Execute(out, data); {
	case errors.Is(err, errTooLong):
		return nil, errTooLong
	case err != nil:
		reason := strings.TrimPrefix(err.Error(), "template: template:")
		return nil, fmt.Errorf("the template fails in line %s", strings.NewReplacer(`executing "template" at `, "", " in type notify.templateData", "").Replace(reason))
	}
	return out.Bytes(), nil
}

// The functions that are put into a template to keep its limits.
const (
	tickName  = "saba_tick"  // looks at the clock
	enterName = "saba_enter" // counts, since a template may use itself
)

// watch puts a look at the clock into each loop of a list: one may go on for hours without yielding anything.
func watch(t *parse.Tree, list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.RangeNode:
			watch(t, n.List)
			watch(t, n.ElseList)
			n.List.Nodes = append([]parse.Node{call(t, tickName)}, n.List.Nodes...)
		case *parse.IfNode:
			watch(t, n.List)
			watch(t, n.ElseList)
		case *parse.WithNode:
			watch(t, n.List)
			watch(t, n.ElseList)
		}
	}
}

// call returns an action that calls a function.
func call(t *parse.Tree, name string) parse.Node {
	command := &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{parse.NewIdentifier(name).SetTree(t)}}
	return &parse.ActionNode{NodeType: parse.NodeAction, Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{command}}}
}

// A boundedBuffer takes what a template may yield, and no more.
type boundedBuffer struct{ bytes.Buffer }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > templateBody {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}

var errLongValue = fmt.Errorf("a value is longer than %d KiB", templateValue>>10)

// toJSON writes a value as JSON. <, > and & stay as they are, since the body is no page.
func toJSON(v any) (string, error) {
	if s, ok := v.(string); ok && len(s) > templateValue {
		return "", errLongValue
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// bounded makes of a function that joins values one that refuses to make a long text of them.
func bounded(join func(...any) string) func(...any) (string, error) {
	return func(args ...any) (string, error) {
		if weight(args) > templateValue {
			return "", errLongValue
		}
		return join(args...), nil
	}
}

// printf is fmt.Sprintf for what a message needs. Widths and numbered arguments could make gigabytes of a line.
func printf(format string, args ...any) (string, error) {
	verbs := 0
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		verbs++
		spec := format[i+1:]
		spec = spec[:len(spec)-len(strings.TrimLeft(spec, "+-# 0123456789.*[]"))]
		i += len(spec) + 1
		width, precision, _ := strings.Cut(spec, ".")
		if strings.ContainsAny(spec, "*[") || len(strings.TrimLeft(width, "+-# ")) > 3 || len(precision) > 3 {
			return "", errors.New("printf takes no width beyond 999, and no * or [n]")
		}
	}
	if weight(args)+len(format)+2000*verbs > templateValue*2 || weight(args) > templateValue {
		return "", errLongValue
	}
	return fmt.Sprintf(format, args...), nil
}

// weight returns how many bytes values may make at most, roughly.
func weight(args []any) (n int) {
	for _, a := range args {
		switch v := a.(type) {
		case string:
			n += len(v)
		case int, int64, float64, bool, nil:
			n += 32
		default:
			s, err := toJSON(v)
			if err != nil {
				return templateValue + 1
			}
			n += 2 * len(s)
		}
	}
	return n
}
