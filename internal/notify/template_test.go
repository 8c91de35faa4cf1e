package notify

import (
	"context"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

func TestTemplates(t *testing.T) {
	m := alertMessage(saba.CheckCritical)
	data := newTemplateData(&m, &saba.Channel{EnabledGraphImage: true})
	for _, tt := range []struct{ template, want string }{
		{`{{.Status}} {{.Rule}} {{.Host}}`, "CRITICAL load <5> web_1"},
		{`{{json .Memo}}`, `"call *ops*\nthen <b>wait</b> & see"`},
		{`{{json .Roles}} {{len .Roles}}`, `["shop:web","shop:db"] 2`},
		{`q={{urlquery .Rule}}`, "q=load+%3C5%3E"},
		{`{{if eq .Status "OK"}}fine{{else}}{{printf "%-5s|%5.1f" "a" 2.25}}{{end}}`, "a    |  2.2"},
		{`{{range .Facts}}{{.Name}},{{end}}`, "Host,Role,Role,Value,Since,For,Memo,"},
		{`{{define "x"}}[{{.}}]{{end}}{{template "x" .ID}}{{template "x" .Trigger}}`, "[alert1][monitoring]"},
		{`{{range $i := 3}}{{$i}}{{end}}{{.Picture}} {{.Colour}} {{.At}} {{.OpenedAt}} {{.ClosedAt}}`, "012https://saba.example.com/pictures/abc.png #d63a3a 1767233160 1767225660 0"},
	} {
		if err := (&saba.Channel{Type: saba.ChannelTemplate, Name: "c", URL: "http://a", Template: tt.template}).Check(); err != nil {
			t.Errorf("%s is refused: %v", tt.template, err)
		}
		if got, err := execute(tt.template, data, time.Now); err != nil || string(got) != tt.want {
			t.Errorf("%s yields %q, %v, want %q", tt.template, got, err, tt.want)
		}
	}
}

// A template that its writer did not mean so neither fills the memory nor goes on for ever.
func TestTemplatesAreBounded(t *testing.T) {
	doubled := `{{$x := "0123456789"}}` + strings.Repeat(`{{$x = print $x $x}}`, 40)
	for _, tt := range []struct{ template, saying string }{
		{`{{range 1000000000}}{{end}}`, "it takes longer than 2 s"},
		{`{{range 100000}}{{if true}}{{range 100000}}{{else}}a{{end}}{{end}}{{end}}`, "it takes longer than 2 s"},
		{`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`, "it uses templates more than 1000 times"},
		{`{{template "template" .}}`, "it uses templates more than 1000 times"},
		{`{{range 1000000}}0123456789012345678901234567890123456789{{end}}`, "the template yields more than 256 KiB"},
		{doubled, "a value is longer than 64 KiB"},
		{strings.ReplaceAll(doubled, "print", `printf "%s%s"`), "a value is longer than 64 KiB"},
		{strings.ReplaceAll(doubled, "print $x $x", `json $x`), ""},
		{`{{$x := "\\"}}` + strings.Repeat(`{{$x = json $x}}`, 40), "a value is longer than 64 KiB"},
		{`{{printf "%1000000d" 1}}`, "printf takes no width beyond 999"},
		{`{{printf "%.1000000f" 1.5}}`, "printf takes no width beyond 999"},
		{`{{printf "%*d" 1000000 1}}`, "printf takes no width beyond 999"},
		{`{{printf "%[1]s%[1]s" "a"}}`, "printf takes no width beyond 999"},
		{`{{printf "` + strings.Repeat("%s", 100) + `"}}`, "a value is longer than 64 KiB"},
		{`{{.Nonsense}}`, "the template fails in line 1:2: <.Nonsense>: can't evaluate field Nonsense"},
		{"\n{{index .Roles 9}}", "the template fails in line 2:2: <index .Roles 9>: "},
		{`{{`, "the template cannot be read"},
	} {
		m := alertMessage(saba.CheckCritical)
		clock := time.Unix(opened, 0)
		now := func() time.Time { clock = clock.Add(time.Millisecond / 100); return clock }
		_, err := execute(tt.template, newTemplateData(&m, &saba.Channel{}), now)
		if tt.saying == "" {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.saying) {
			t.Errorf("%.80s: %v, want %q", tt.template, err, tt.saying)
		}
	}
}

// What the check of a channel lets pass, the template can use.
func TestTemplateFunctionsAreThere(t *testing.T) {
	for _, name := range saba.TemplateFunctions {
		if _, err := execute(`{{if false}}{{`+name+`}}{{end}}`, nil, time.Now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTemplateFieldsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/channels.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Template\n")
	for f := range reflect.TypeFor[templateData]().Fields() {
		if !strings.Contains(section, "`."+f.Name+"`") {
			t.Errorf("docs/channels.md does not name .%s", f.Name)
		}
	}
	for _, name := range saba.TemplateFunctions {
		if !strings.Contains(section, "`"+name+"`") {
			t.Errorf("docs/channels.md does not name the function %s", name)
		}
	}
}

func TestTemplateSend(t *testing.T) {
	d := newDesk(t)
	s := sendersFor(d)[saba.ChannelTemplate]
	c := saba.Channel{Type: saba.ChannelTemplate, URL: d.URL, Template: `{"a": "{{.Text}}"}`}
	if err := s.Send(context.Background(), c, alertMessage(saba.CheckCritical)); err == nil || !isFinal(err) || !strings.Contains(err.Error(), "does not yield JSON") {
		t.Errorf("what is no JSON: %v", err)
	}
	if len(d.got) != 0 {
		t.Errorf("it was sent: %s", d.got)
	}
	c.ContentType, c.Template = "text/plain; charset=utf-8", "{{.Title}}"
	if err := s.Send(context.Background(), c, alertMessage(saba.CheckCritical)); err != nil {
		t.Error(err)
	}
	if want := "POST /\nContent-Type: text/plain\nIdempotency-Key: c1-7\n\nCRITICAL: load <5> on web_1\n"; len(d.got) != 1 || d.got[0] != want {
		t.Errorf("sent was %q, want %q", d.got, want)
	}
}
