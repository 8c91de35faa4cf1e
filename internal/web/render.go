package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
)

//go:embed page
var pageFiles embed.FS

// A layout is what every page has around its own content.
type layout struct {
	Title    string
	Lit      string    // which entry of the navigation is lit: "hosts", "services", "alerts", "drains", "monitors", "downtimes", "channels", "keys", "new"
	Email    string    // of who is signed in; "" shows neither navigation nor account
	Writes   bool      // whoever is signed in may change something
	Manages  bool      // and decide who uses saba
	Troubles []trouble // what is wrong with saba itself, for those who can do something about it
	Open     string    // how many alerts are open; "" for none
	Scripts  bool      // load the charts' scripts
	Refresh  int       // seconds after which the page loads itself again; 0 for never
	Bare     bool      // no header and footer: the page stands in a frame
}

// A trouble is something that is wrong with saba itself.
type trouble struct {
	Text      string // sentences that say what to do
	URL, Link string // of a page where it can be done; "" for none
}

// layoutFor returns the layout of a page for v.
func layoutFor(v visitor, lit, title string) layout {
	return layout{Title: title, Lit: lit, Email: v.user.Email, Writes: v.Write, Manages: v.Manage, Troubles: v.troubles, Open: openCount(v.open)}
}

// loadPages parses every page with the layout and the shared parts around it. All are of one set, in which each part is
// there once, and each page has a layout of its own: a set for each page would take several MiB that a server with nobody
// before it never uses.
func loadPages(c *console) map[string]*template.Template {
	all := template.New("").Funcs(template.FuncMap{
		"asset":   c.assets.url,
		"version": func() string { return c.Version },
		"moment":  c.moment,
	})
	all = template.Must(all.ParseFS(pageFiles, "page/part/*.html"))
	around := pageFile("layout.html")
	files, err := pageFiles.ReadDir("page")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	pages := map[string]*template.Template{}
	for _, f := range files {
		name, isPage := strings.CutSuffix(f.Name(), ".html")
		if !isPage || name == "layout" {
			continue
		}
		// What every page calls main has the page's name in the set.
		template.Must(all.New("file " + name).Parse(strings.Replace(pageFile(f.Name()), `{{define "main"}}`, `{{define "main of `+name+`"}}`, 1)))
		pages[name] = template.Must(all.New("page " + name).Parse(strings.Replace(around, `{{template "main" .}}`, `{{template "main of `+name+`" .}}`, 1)))
	}
	return pages
}

func pageFile(name string) string {
	b, err := pageFiles.ReadFile(path.Join("page", name))
	if err != nil {
		panic(err) // the file is compiled in
	}
	return string(b)
}

// render answers with a page. The page is rendered whole before the first byte leaves, so
// that an error still gets a proper answer.
func (c *console) render(w http.ResponseWriter, r *http.Request, code int, name string, data any) error {
	var b bytes.Buffer
	if err := c.pages[name].Execute(&b, data); err != nil {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return send(w, r, code, b.Bytes())
}

// gzipFrom is the size in bytes above which compression pays for its header.
const gzipFrom = 1400

// send writes a body, compressed where the client takes it.
func send(w http.ResponseWriter, r *http.Request, code int, body []byte) error {
	w.Header().Add("Vary", "Accept-Encoding")
	if len(body) < gzipFrom || !acceptsGzip(r) {
		w.WriteHeader(code)
		_, err := w.Write(body)
		return ignoreGone(err)
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(code)
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := z.Write(body); err != nil {
		return ignoreGone(err)
	}
	return ignoreGone(z.Close())
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" && strings.ReplaceAll(q, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

// ignoreGone drops the error of a write to the client: the status has left already, and the
// only thing that fails there is a client that went away.
func ignoreGone(error) error { return nil }

// writeJSON answers 200 with v.
func writeJSON(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	return send(w, r, http.StatusOK, b)
}

// errorPage is page/error.html.
type errorPage struct {
	layout
	Code    int
	Heading string
	Text    string
}

// fail answers a request that failed: strangers of a page go to the login, everybody else gets
// the sentence of the error. What is our own fault is logged and not shown.
func (c *console) fail(rt route, w http.ResponseWriter, r *http.Request, v visitor, err error) {
	code := status(err)
	text := sentence(err)
	if code == http.StatusInternalServerError {
		if r.Context().Err() != nil {
			return // the client went away and took its context along
		}
		c.Log.Error("a page failed", "method", r.Method, "path", r.URL.Path, "error", err)
		text = "Something failed on the server. Its log says what; trying again may help."
	}
	if code == http.StatusUnauthorized && rt.want != saba.Anyone {
		if rt.kind == page {
			target := "/login"
			if r.Method == http.MethodGet && r.URL.Path != "/" {
				target += "?next=" + url.QueryEscape(r.URL.RequestURI())
			}
			http.Redirect(w, r, target, http.StatusSeeOther)
			return
		}
		text = "You are signed out: sign in again."
	}
	if rt.kind == data {
		w.Header().Set("Content-Type", "application/json")
		body, merr := json.Marshal(map[string]any{"error": map[string]string{"message": text}})
		if merr != nil {
			body = nil // a map of strings always marshals
		}
		_ = send(w, r, code, body) // never fails: a client that went away is no error
		return
	}
	p := errorPage{layout: layoutFor(v, "", http.StatusText(code)), Code: code, Heading: headings[code], Text: text}
	if p.Heading == "" {
		p.Heading = http.StatusText(code)
	}
	if err := c.render(w, r, code, "error", p); err != nil {
		c.Log.Error("the error page failed", "error", err)
		http.Error(w, text, code)
	}
}

// headings are the error pages' titles in plain words.
var headings = map[int]string{
	http.StatusBadRequest:            "That does not work",
	http.StatusForbidden:             "Not allowed",
	http.StatusNotFound:              "Not found",
	http.StatusMethodNotAllowed:      "Not in this way",
	http.StatusConflict:              "Already taken",
	http.StatusRequestEntityTooLarge: "Too much",
	http.StatusTooManyRequests:       "Too many tries",
	http.StatusServiceUnavailable:    "Try again later",
	http.StatusInternalServerError:   "Something went wrong",
}

// sentence returns the text of an error with a capital and a full stop.
func sentence(err error) string {
	s := err.Error()
	first, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(first)) + s[size:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
