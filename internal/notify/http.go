package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

const (
	// maxAnswer is how much of a service's answer is read.
	maxAnswer = 64 << 10
	// maxQuote is how much of it an error quotes.
	maxQuote = 200
	// maxWait is how long a service may ask to be left alone.
	maxWait = time.Hour
)

// A service asks the services of channels over HTTP. Senders hold one.
type service struct {
	client *http.Client
	now    func() time.Time
}

// A request is what is sent to a channel's service.
type request struct {
	method, url, contentType string // "" means POST and application/json
	header                   http.Header
	body                     []byte
	secrets                  []string // that errors must not show, besides what is in url
}

// ask sends a request and returns the answer's body. Its errors name no address, as those of channels hold secrets.
func (s service) ask(ctx context.Context, r request) ([]byte, error) {
	if r.method == "" {
		r.method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nil, Final(errors.New("the channel's address cannot be read: set it anew"))
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	if r.contentType == "" {
		r.contentType = "application/json"
	}
	req.Header.Set("Content-Type", r.contentType)
	req.Header.Set("User-Agent", "saba/"+saba.Version)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, errors.New(r.hide(reason(err)))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode < 300 {
		return body, nil // it is confirmed, whether its words arrive or not
	}
	if err != nil {
		body = nil
	}
	return nil, refused(resp, r, body, s.now())
}

// hide takes out of a text what it must not show: services like to repeat what they were asked.
func (r request) hide(text string) string {
	const least = 6 // characters of what is taken for a secret: shorter ones are words
	secrets := append([]string{r.url}, r.secrets...)
	if u, err := url.Parse(r.url); err == nil {
		password, _ := u.User.Password()
		secrets = append(secrets, u.RequestURI(), u.Path, password)
		secrets = append(secrets, strings.Split(u.Path, "/")...)
		for _, values := range u.Query() {
			secrets = append(secrets, values...)
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // a part of a secret is hidden after the whole
	for _, s := range secrets {
		if len(s) >= least {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	return text
}

// refused makes an error of an answer that confirms nothing.
func refused(resp *http.Response, r request, body []byte, now time.Time) error {
	err := fmt.Errorf("its service answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if quote := quoted([]byte(r.hide(string(body)))); quote != "" {
		err = fmt.Errorf("%w: %s", err, quote)
	}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return Final(err) // it is about the message
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		after := resp.Header.Get("Retry-After")
		if s, e := strconv.ParseFloat(after, 64); e == nil && s > 0 {
			return RetryAfter(err, time.Duration(min(s, maxWait.Seconds())*float64(time.Second)))
		}
		if t, e := http.ParseTime(after); e == nil {
			return RetryAfter(err, min(max(t.Sub(now), 0), maxWait))
		}
		// Discord and Telegram say it in the body.
		var said struct {
			After      float64 `json:"retry_after"` // seconds
			Parameters struct {
				After float64 `json:"retry_after"`
			} `json:"parameters"`
		}
		if json.Unmarshal(body, &said) == nil {
			if s := max(said.After, said.Parameters.After); s > 0 {
				return RetryAfter(err, time.Duration(min(s, maxWait.Seconds())*float64(time.Second)))
			}
		}
	}
	return err
}

// quoted returns the beginning of a text on one line, without what is no text.
func quoted(body []byte) string {
	s := strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "")), " ")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxQuote {
		s = string(r[:maxQuote]) + "…"
	}
	return s
}

// reason returns what went wrong with a request, without the address that net/http writes before it.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("its service did not answer within %d s", int(SendTimeout/time.Second))
	}
	return "its service could not be reached: " + err.Error()
}
