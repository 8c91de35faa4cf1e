package syslog

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/saba-monitor/saba/internal/hush"
)

// A keyPair is a certificate in files that is read again when one of them has changed, so that a renewal needs no restart. It is safe for concurrent use.
type keyPair struct {
	cert, key string // the files
	log       *slog.Logger
	now       func() time.Time

	mu     sync.Mutex
	loaded *tls.Certificate
	stamps [2]stamp // of the files when they were read last, whether they could be used or not
	broken hush.Hush
}

// A stamp tells one state of a file from another.
type stamp struct {
	at   time.Time
	size int64
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime(), info.Size()}, nil
}

// load reads the files.
func (p *keyPair) load() error {
	var stamps [2]stamp
	var err error
	for i, path := range []string{p.cert, p.key} {
		if stamps[i], err = stampOf(path); err != nil {
			return err
		}
	}
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return err
	}
	p.loaded, p.stamps = &pair, stamps
	return nil
}

// get returns the certificate for a handshake. Files that cannot be used, such as while they are being replaced, leave the one from before in place.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, path := range []string{p.cert, p.key} {
		if now, err := stampOf(path); err == nil && now == p.stamps[i] {
			continue
		}
		if err := p.load(); err != nil {
			if n, say := p.broken.Count(p.now()); say {
				p.log.Error("the certificate of --syslog-tls was changed and cannot be used; the one from before goes on", "error", err, "handshakes", n)
			}
		} else {
			p.log.Info("the certificate of --syslog-tls was changed and read again", "file", p.cert)
		}
		break
	}
	return p.loaded, nil
}
