package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/saba-monitor/saba"
)

//go:embed static
var staticFiles embed.FS

// assets are the static files. All of them share one hash in their address, so that scripts
// can import each other by relative paths and a new release never meets an old script.
type assets struct {
	hash  string
	files map[string]asset // by path below static/
}

type asset struct {
	contentType string
	etag        string
	plain       []byte
	zipped      []byte // gzip; nil when it would not be smaller
}

// loadAssets reads, hashes and compresses the files that are compiled in.
func loadAssets() assets {
	a := assets{files: map[string]asset{}}
	all := sha256.New()
	err := fs.WalkDir(staticFiles, "static", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(staticFiles, p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		all.Write([]byte(p))
		all.Write(sum[:])
		a.files[strings.TrimPrefix(p, "static/")] = asset{
			contentType: contentType(p),
			etag:        `"` + hex.EncodeToString(sum[:8]) + `"`,
			plain:       b,
			zipped:      zipped(b),
		}
		return nil
	})
	if err != nil {
		panic(err) // the files are compiled in
	}
	a.hash = hex.EncodeToString(all.Sum(nil)[:6])
	return a
}

// contentType does not ask the machine's MIME tables, which differ.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".md", "":
		return "text/plain; charset=utf-8"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

func zipped(b []byte) []byte {
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := w.Write(b); err != nil {
		return nil
	}
	if err := w.Close(); err != nil || z.Len() >= len(b) {
		return nil
	}
	return z.Bytes()
}

// url returns the address of a static file.
func (a assets) url(name string) string { return "/static/" + a.hash + "/" + name }

// asset answers with a static file. An address with the hash of another build gets this
// build's file, but nothing may keep it.
func (c *console) asset(w http.ResponseWriter, r *http.Request, _ visitor) error {
	f, ok := c.assets.files[r.PathValue("file")]
	if !ok {
		return saba.Errorf(saba.ErrNotFound, "there is no such file")
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("ETag", f.etag)
	if r.PathValue("hash") == c.assets.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	h.Add("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	body := f.plain
	if f.zipped != nil && acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = f.zipped
	}
	_, err := w.Write(body)
	return ignoreGone(err)
}

// favicon serves browsers that ask for an icon beside a page that names none, as an SVG.
func (c *console) favicon(w http.ResponseWriter, r *http.Request, _ visitor) error {
	http.Redirect(w, r, c.assets.url("icon.svg"), http.StatusFound)
	return nil
}
