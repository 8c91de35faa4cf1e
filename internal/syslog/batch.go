package syslog

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/logline"
)

// A batch is what came in and is not kept yet. The zero batch is ready.
type batch struct {
	lots  map[string]*drain.Lot // by the token that the messages bear; "" for those without one
	since time.Time             // when the first of them came
	lines int
	bytes int
	last  string // the token of the message before, also of the batch before
}

func (b *batch) empty() bool { return b.lines == 0 }

func (b *batch) full() bool { return b.lines >= batchLines || b.bytes >= batchBytes }

// due says whether the batch is to be kept at now.
func (b *batch) due(now time.Time) bool { return !b.empty() && now.Sub(b.since) >= gather }

func (b *batch) clear() { *b = batch{last: b.last} }

// overhead is about what a message takes in memory besides its bytes.
const overhead = 128

// lot returns the lot of the messages with a token.
func (b *batch) lot(token string, size int) *drain.Lot {
	if b.empty() {
		b.lots, b.since = map[string]*drain.Lot{}, time.Now()
	}
	b.lines++
	b.bytes += size + overhead
	if b.lots[token] == nil {
		b.lots[token] = &drain.Lot{}
	}
	return b.lots[token]
}

// add adds a message that came at now. It copies it. ok is false when it is none; it is refused then.
func (b *batch) add(message []byte, now time.Time, zone *time.Location) (ok bool) {
	line, data, ok := logline.Syslog(bytes.Clone(message), now, zone)
	if !ok {
		b.refuse(logline.BadHeader, message)
		return false
	}
	b.last = takeToken(&line, data)
	lot := b.lot(b.last, len(message))
	lot.Lines = append(lot.Lines, line)
	return true
}

// refuse adds what never became a line, for the drain of the message before it.
func (b *batch) refuse(reason logline.Reason, text []byte) {
	b.lot(b.last, min(len(text), overhead)).Refuse(reason, text)
}

// takeToken takes the token of a drain out of a line, so that no page and no log shows it: what stands in the structured data of the message, as
// [saba@0 token="…"], in the place of the host, as Heroku has it, or in that of the program. "" when it bears none.
func takeToken(l *logline.Line, data logline.Data) string {
	if token, ok := data.Param("saba@0", "token"); ok && token != "" {
		return token
	}
	if isToken(l.Host) {
		token := l.Host
		l.Host = ""
		return token
	}
	if isToken(l.App) {
		token := l.App
		l.App = ""
		return token
	}
	return ""
}

// isToken says whether a field of a header can be the token of a drain: one of ours, or Heroku's own, d.UUID.
func isToken(s string) bool { return strings.HasPrefix(s, "saba_") || saba.ValidLogplexToken(s) }

// Why a message belongs to no drain.
const (
	unknownToken = "unknown token"
	noToken      = "no token"
)

// drainOf returns the drain that a token opens, or the one of messages without. reason says why there is none.
func (s *Server) drainOf(ctx context.Context, token string) (org string, d saba.Drain, reason string, err error) {
	if token == "" {
		id := s.Listeners.settings.Drain
		if id == "" {
			return "", saba.Drain{}, noToken, nil
		}
		d, err := s.Store.Drain(ctx, s.Org, id)
		if gone(err) {
			return "", saba.Drain{}, "no default drain", nil
		}
		return s.Org, d, "", err
	}
	org, d, err = s.Store.DrainByHash(ctx, saba.HashSecret(token))
	if gone(err) {
		return "", saba.Drain{}, unknownToken, nil
	}
	return org, d, "", err
}

func gone(err error) bool { return errors.Is(err, saba.ErrNotFound) }

// refuse counts one thing of which nothing became.
func (s *Server) refuse(way, reason string) { s.refusals.WithLabelValues(way, reason).Inc() }

// refuseLot counts messages of which nothing became, and says so once a minute. Their sender is told nothing: syslog has no answers.
func (s *Server) refuseLot(way, reason string, from net.Addr, lot *drain.Lot) {
	n := len(lot.Lines)
	s.refusals.WithLabelValues(way, reason).Add(float64(n))
	if n == 0 {
		return
	}
	if lots, say := s.unknown.Count(s.Now()); say {
		s.Log.Warn("syslog messages belong to no drain and were dropped", "way", way, "reason", reason, "from", from, "messages", n, "times", lots)
	}
}
