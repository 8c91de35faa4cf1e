package target

import (
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGet(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		if r.URL.Path == "/none" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "yes")
	}))
	defer server.Close()
	h := &HTTP{UserAgent: "test"}
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	h.AddFlags(fs)
	if err := fs.Parse([]string{"-header", "Host: shop.example", "-header", "X-One: a:b", "-header=X-One:c"}); err != nil {
		t.Fatal(err)
	}
	body, err := h.Get(t.Context(), server.URL+"/x?y=1")
	if err != nil || string(body) != "yes" {
		t.Errorf("Get = %q, %v", body, err)
	}
	if got.Host != "shop.example" || strings.Join(got.Header["X-One"], " ") != "a:b c" || got.UserAgent() != "test" || got.URL.RawQuery != "y=1" {
		t.Errorf("asked %s for %s with %v", got.Host, got.URL, got.Header)
	}
	if _, err := h.Get(t.Context(), server.URL+"/none?key=secret"); err == nil || err.Error() != "ask "+server.URL+"/none: it answers 404 Not Found" {
		t.Errorf("Get = %v, want the target and its answer", err)
	}
	fs.SetOutput(io.Discard)
	for _, bad := range []string{"secret", ": x", ""} {
		if fs.Parse([]string{"-header", bad}) == nil {
			t.Errorf("-header %q is taken", bad)
		}
	}
}

// A header may be a password: a host that we are only sent to does not get it.
func TestARedirectTakesNoSecretElsewhere(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-Key")) }
	other := httptest.NewServer(http.HandlerFunc(echo))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/echo", http.StatusFound) })
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/echo", echo)
	server := httptest.NewServer(mux)
	defer server.Close()
	h := &HTTP{UserAgent: "test", Header: http.Header{"X-Key": {"topsecret"}}}
	for path, want := range map[string]string{"/here": "topsecret", "/there": ""} {
		if body, err := h.Get(t.Context(), server.URL+path); err != nil || string(body) != want {
			t.Errorf("%s: X-Key arrived as %q, %v, want %q", path, body, err, want)
		}
	}
	if _, err := h.Get(t.Context(), server.URL+"/round"); err == nil || !strings.HasSuffix(err.Error(), "/round: it redirects more than 10 times") {
		t.Errorf("a circle: %v", err)
	}
	file := filepath.Join(t.TempDir(), "headers")
	h = &HTTP{UserAgent: "test", headerFile: Secret{file: file}}
	for _, tt := range []struct{ text, path, want, wrong string }{
		{"\nX-Key: topsecret\r\nUser-Agent: b\n", "/here", "topsecret", ""},
		{"X-Key: changed\n", "/here", "changed", ""},
		{"X-Key: changed\n", "/there", "", ""},
		{"topsecret", "/here", "", "a line of " + file + " is no header: "},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		body, err := h.Get(t.Context(), server.URL+tt.path)
		if string(body) != tt.want || (err != nil) != (tt.wrong != "") {
			t.Errorf("%s with %q: X-Key arrived as %q, %v, want %q", tt.path, tt.text, body, err, tt.want)
		}
		if err != nil && (!strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "topsecret")) {
			t.Errorf("with %q: %v", tt.text, err)
		}
	}
}

func TestNameHasNoSecrets(t *testing.T) {
	for address, want := range map[string]string{
		"http://me:pass@h:1/a?key=pass": "http://me:xxxxx@h:1/a",
		"https://h/a":                   "https://h/a",
		"http://h/%zzpass":              "the URL",
	} {
		if got := (&HTTP{}).Name(address); got != want {
			t.Errorf("Name(%q) = %q, want %q", address, got, want)
		}
	}
	if got := (&HTTP{Socket: "/run/x"}).Name("http://h/a"); got != "http://h/a through /run/x" {
		t.Errorf("Name with a socket = %q", got)
	}
}

func TestURL(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "http://localhost:80/status"},
		{[]string{"-scheme", "https", "-host", "shop", "-port", "8443", "-path", "/s?auto"}, "https://shop:8443/s?auto"},
		{[]string{"-host", "::1"}, "http://[::1]:80/status"},
		{[]string{"-host", "[::1]"}, "http://[::1]:80/status"},
		{[]string{"-uri", "http://a/b", "-host", "shop"}, "http://a/b"},
	} {
		var u URL
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		u.AddFlags(fs, "80", "/status")
		if err := fs.Parse(tt.args); err != nil {
			t.Fatal(err)
		}
		if got := u.String(); got != tt.want {
			t.Errorf("%q make %s, want %s", tt.args, got, tt.want)
		}
	}
}
