package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// culpritsName is how the search for culprits is called in the status.
const culpritsName = "culprits"

// How culprits are sent: soon, or not at all.
const (
	culpritsFresh  = 50 * time.Second // after which they are given up: the next turn finds newer ones
	culpritsRefuse = time.Hour        // after which a server that does not take them is asked again
)

// A suspecting Source notices when its host is strained, and can tell who may be to blame.
type suspecting interface {
	// Suspicion returns a channel on which it says why it is time to look; nil when it is never.
	Suspicion() <-chan []saba.Strain
	Culprits(ctx context.Context, why []saba.Strain, at time.Time) (saba.Culprits, error)
}

// blame looks for culprits when a source says so, and sends them as metadata, until ctx ends. While all is well it only waits.
func blame(ctx context.Context, o Options, s suspecting, hosts hostLookup) {
	log := o.Log.With("source", culpritsName)
	look, send := announcer{log: log}, announcer{log: log}
	var refused time.Time // until then the server is not asked
	for {
		var why []saba.Strain
		select {
		case <-ctx.Done():
			return
		case why = <-s.Suspicion():
		}
		if time.Now().Before(refused) {
			continue
		}
		began := time.Now()
		c, err := s.Culprits(ctx, why, o.clock()())
		if ctx.Err() != nil {
			return
		}
		o.Record.source(KindHost, culpritsName).ran(run{at: began, took: time.Since(began), err: err})
		var document []byte
		if err == nil {
			document, err = json.Marshal(c)
		}
		if err != nil {
			look.say(slog.LevelWarn, err.Error(), "it is not known what goes on on this host, which is strained", "error", err)
			continue
		}
		look.over("it is known again what goes on on this host when it is strained")
		if err = sendCulprits(ctx, o, hosts, document, began.Add(culpritsFresh)); ctx.Err() != nil {
			return
		}
		switch {
		case err == nil:
			send.over("the server takes again what goes on on this host when it is strained")
		case isRefused(err):
			refused = time.Now().Add(culpritsRefuse)
			send.say(slog.LevelWarn, "refused", "the server does not take what goes on on this host when it is strained: it will be asked again in an hour", "error", err)
		default:
			send.say(slog.LevelWarn, "fails", "what goes on on this host, which is strained, could not be sent in time", "error", err)
		}
	}
}

// isRefused says whether a server will answer the same when it is asked again.
func isRefused(err error) bool {
	refused, _ := refusedFor(err)
	return refused || errors.Is(err, saba.ErrUnauthorized) || errors.Is(err, saba.ErrForbidden) || errors.Is(err, saba.ErrNotFound)
}

// sendCulprits tries until the server has taken or refused a document, or it is too late.
func sendCulprits(ctx context.Context, o Options, hosts hostLookup, document []byte, late time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, late)
	defer cancel()
	retry := backoff{least: metadataRetryLeast, most: culpritsFresh}
	for {
		changes := hosts.changes() // taken before looking, so that no change is missed
		id, known := hosts.hostID("")
		if !known {
			select {
			case <-changes:
				continue
			case <-ctx.Done():
				return nil // a host of which the server does not know has no alerts
			}
		}
		err := o.API.PutMetadata(ctx, saba.MetadataOwner{Host: id}, saba.CulpritsNamespace, document)
		if err == nil || isRefused(err) {
			return err
		}
		if wait := max(retry.next(o.Random), client.RetryAfter(err)); time.Now().Add(wait).After(late) || !sleep(ctx, wait) {
			return err
		}
	}
}
