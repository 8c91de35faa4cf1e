package client_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// open returns a client of a server that answers with handler.
func open(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	c, err := client.New(client.Options{Base: srv.URL, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheKindOfAnAnswer(t *testing.T) {
	kinds := []error{saba.ErrInvalid, saba.ErrUnauthorized, saba.ErrForbidden, saba.ErrNotFound, saba.ErrConflict, saba.ErrTooLarge, saba.ErrUnavailable}
	for name, tt := range map[string]struct {
		status  int
		body    string
		kind    error // nil is none
		message string
		isJSON  bool
	}{
		"a bad request":             {400, `{"error":{"message":"name is empty"}}`, saba.ErrInvalid, "name is empty", true},
		"the old form of an error":  {401, `{"error":"Authentication failed."}`, saba.ErrUnauthorized, "Authentication failed.", true},
		"a missing flag":            {403, `{"error":{"message":"no"}}`, saba.ErrForbidden, "no", true},
		"no such host":              {404, `{"error":{"message":"no host"}}`, saba.ErrNotFound, "no host", true},
		"a taken name":              {409, `{"error":{"message":"taken"}}`, saba.ErrConflict, "taken", true},
		"too large":                 {413, `<html>`, saba.ErrTooLarge, "request entity too large", false},
		"too often":                 {429, `{}`, saba.ErrUnavailable, "too many requests", false},
		"broken":                    {500, ``, saba.ErrUnavailable, "internal server error", false},
		"the page of a proxy":       {400, `<html>Bad Request</html>`, saba.ErrInvalid, "bad request", false},
		"an error that is a number": {400, `{"error":3}`, saba.ErrInvalid, "bad request", false},
		"a success without JSON":    {200, `<html>log in</html>`, nil, "not JSON", false},
		"a success without a body":  {204, ``, nil, "not JSON", false},
		"a redirect":                {307, ``, nil, "redirects to", false},
		"an endless message":        {400, `{"error":{"message":"` + strings.Repeat("あ", 9999) + `"}}`, saba.ErrInvalid, "あ…", true},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, func(w http.ResponseWriter, r *http.Request) {
				if tt.status == 307 {
					w.Header().Set("Location", "/elsewhere")
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			err := c.SetHostStatus(t.Context(), "h", saba.Working)
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Status != tt.status || !strings.Contains(e.Message, tt.message) || e.JSON != tt.isJSON || len(e.Message) > 1100 {
				t.Fatalf("error = %#v, want status %d, message %q, JSON %v", err, tt.status, tt.message, tt.isJSON)
			}
			for _, kind := range kinds {
				if errors.Is(err, kind) != (kind == tt.kind) {
					t.Errorf("errors.Is(%v, %v) = %v", err, kind, kind != tt.kind)
				}
			}
			if want := fmt.Sprintf("POST /api/v0/hosts/h/status: %d ", tt.status); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error = %q, want %q first", err, want)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		value string
		want  time.Duration
	}{
		"seconds":            {"120", 2 * time.Minute},
		"a date":             {"Sun, 06 Nov 1994 08:50:37 GMT", time.Minute},
		"a date in the past": {"Sun, 06 Nov 1994 08:00:00 GMT", 0},
		"for ever":           {"4294967295", 24 * time.Hour},
		"nonsense":           {"soon", 0},
		"a negative number":  {"-1", 0},
		"nothing":            {"", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", "Sun, 06 Nov 1994 08:49:37 GMT")
				w.Header().Set("Retry-After", tt.value)
				w.WriteHeader(503)
			})
			if got := client.RetryAfter(c.PostHostMetrics(t.Context(), nil)); got != tt.want {
				t.Errorf("RetryAfter of %q = %v, want %v", tt.value, got, tt.want)
			}
		})
	}
}

func TestNoAnswerIsANetworkError(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	c, err := client.New(client.Options{Base: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	srv.Close()
	_, err = c.Host(t.Context(), "h")
	if _, ok := errors.AsType[*client.NetworkError](err); !ok || !errors.Is(err, saba.ErrUnavailable) {
		t.Errorf("error = %#v, want a *NetworkError that matches ErrUnavailable", err)
	}
	cut := open(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"host":`)
	})
	if _, err := cut.Host(t.Context(), "h"); err == nil || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error of an answer that ends early = %v, want io.ErrUnexpectedEOF", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Host(ctx, "h"); !errors.Is(err, context.Canceled) {
		t.Errorf("error of a call that was cancelled = %v, want context.Canceled", err)
	}
}

func TestNew(t *testing.T) {
	for base, want := range map[string]string{
		"":                              "",
		"localhost:3838":                "",
		"ftp://x":                       "",
		"http://":                       "",
		"http://\x00":                   "",
		"https://x.example.com":         "/api/v0/org",
		"https://x.example.com/":        "/api/v0/org",
		"https://x.example.com/api/v0/": "/api/v0/org",
		"https://x.example.com/saba/":   "/saba/api/v0/org",
		"https://x.example.com?a=b#c":   "/api/v0/org",
	} {
		t.Run(base, func(t *testing.T) {
			var got string
			c, err := client.New(client.Options{Base: base, HTTP: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
				got = r.URL.EscapedPath()
				return nil, errors.New("no network")
			})}})
			if want == "" {
				if !errors.Is(err, saba.ErrInvalid) {
					t.Errorf("New(%q) = %v, want ErrInvalid", base, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Org(t.Context()); err == nil || got != want {
				t.Errorf("New(%q) asks %s, %v, want %s", base, got, err, want)
			}
		})
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHeadersAndPaths(t *testing.T) {
	var got *http.Request
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		_, _ = io.WriteString(w, `{"hosts":[],"host":{"id":"h"}}`)
	}))
	t.Cleanup(srv.Close)
	c, err := client.New(client.Options{Base: srv.URL, Key: "secret", UserAgent: "test/1", Header: http.Header{"X-Revision": {"abc"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.HostByCustomIdentifier(t.Context(), "a/b?c d"); err != nil {
		t.Fatal(err)
	}
	if got.URL.EscapedPath() != "/api/v0/hosts-by-custom-identifier/a%2Fb%3Fc%20d" || got.Header.Get("X-Api-Key") != "secret" ||
		got.UserAgent() != "test/1" || got.Header.Get("X-Revision") != "abc" || got.Header.Get("Content-Type") != "" {
		t.Errorf("request = %s %v", got.URL, got.Header)
	}
	if _, err := c.Hosts(t.Context(), saba.HostFilter{}); err != nil || got.URL.RawQuery != "status=working&status=standby&status=maintenance&status=poweroff" {
		t.Errorf("the query of a filter without statuses is %q, %v, want all of them", got.URL.RawQuery, err)
	}
	if err := c.DeleteMetadata(t.Context(), saba.MetadataOwner{Service: "s", Role: "r"}, "ns"); err != nil || got.Method != "DELETE" || got.URL.Path != "/api/v0/services/s/roles/r/metadata/ns" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("request = %s %s %v, %v", got.Method, got.URL, got.Header, err)
	}
	if err := c.PostHostMetrics(t.Context(), []saba.Point{{Series: saba.Series{Host: "h", Name: "a"}, Sample: saba.Sample{Time: 60, Value: 0}}}); err != nil || body != `[{"hostId":"h","name":"a","time":60,"value":0}]` {
		t.Errorf("body = %s, %v", body, err)
	}
	if err := c.UpdateHost(t.Context(), "h", client.HostParam{Name: "n", Meta: []byte("{}")}); err != nil || body != `{"name":"n","meta":{}}` {
		t.Errorf("body = %s, %v: what is not given must not be sent", body, err)
	}
	if err := c.UpdateHost(t.Context(), "h", client.HostParam{Name: "n", Meta: []byte("{}"), RoleFullnames: []string{}, Checks: []saba.CheckDeclaration{}}); err != nil || body != `{"name":"n","meta":{},"roleFullnames":[],"checks":[]}` {
		t.Errorf("body = %s, %v: empty lists are given", body, err)
	}
	err = c.PostHostMetrics(t.Context(), []saba.Point{{Sample: saba.Sample{Value: math.NaN()}}})
	if !errors.Is(err, saba.ErrInvalid) {
		t.Errorf("error of a value that JSON does not have = %v, want ErrInvalid", err)
	}
}

func TestTheKeyIsNotCarriedElsewhere(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, with the key %q", r.Header.Get("X-Api-Key"))
	}))
	t.Cleanup(elsewhere.Close)
	c := open(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	if _, err := c.Org(t.Context()); err == nil || !strings.Contains(err.Error(), elsewhere.URL) {
		t.Errorf("error = %v, want one that names where it redirects to", err)
	}
}

// Whatever a server answers, a call never panics.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"host":{"id":"h","roles":{"s":["r"]},"interfaces":[{"ipAddress":"192.0.2.1"}],"meta":null,"isRetired":true}}`), "1")
	f.Add(503, []byte(`{"error":{"message":"later"}}`), "120")
	f.Add(400, []byte(`{"error":[]}`), "Sun, 06 Nov 1994 08:49:37 GMT")
	f.Fuzz(func(t *testing.T, status int, body []byte, after string) {
		c, err := client.New(client.Options{Base: "http://x", HTTP: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}, "Last-Modified": {after}, "Date": {after}}, Body: io.NopCloser(strings.NewReader(string(body))), Request: r}, nil
		})}})
		if err != nil {
			t.Fatal(err)
		}
		h, err := c.Host(t.Context(), "h")
		if err == nil && h.ID == "" {
			t.Error("Host = no id and no error")
		}
		if d := client.RetryAfter(err); d < 0 || d > 24*time.Hour {
			t.Errorf("RetryAfter = %v", d)
		}
		_, _ = c.Hosts(t.Context(), saba.HostFilter{})
		_, _ = c.Metadata(t.Context(), saba.MetadataOwner{Host: "h"}, "ns")
		_, _ = c.LatestMetrics(t.Context(), nil, nil)
		_, _, _ = c.Checks(t.Context(), "", 0)
	})
}

// A server that says so gets large requests compressed; one that changes its mind gets them again as they are.
func TestLargeRequestsAreCompressedForServersThatTakeIt(t *testing.T) {
	var offer string
	var refuse bool
	var encodings []string
	c := open(t, func(w http.ResponseWriter, r *http.Request) {
		encodings = append(encodings, r.Header.Get("Content-Encoding"))
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			if refuse {
				w.WriteHeader(http.StatusUnsupportedMediaType)
				return
			}
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		var points []json.RawMessage
		if err := json.NewDecoder(body).Decode(&points); err != nil {
			t.Errorf("the body cannot be read: %v", err)
		}
		w.Header().Set("Accept-Encoding", offer)
		_, _ = io.WriteString(w, `{"success":true}`)
	})
	post := func(n int, want ...string) {
		t.Helper()
		encodings = nil
		if err := c.PostHostMetrics(t.Context(), make([]saba.Point, n)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(encodings, want) {
			t.Errorf("%d points with %q offered were sent as %q, want %q", n, offer, encodings, want)
		}
	}
	offer = "br, gzip;q=0"
	post(1000, "")
	post(1000, "")
	offer = "br, GZIP; q=0.5"
	post(1000, "")
	post(1000, "gzip")
	post(1, "")
	refuse, offer = true, ""
	post(1000, "gzip", "")
	post(1000, "")
}
