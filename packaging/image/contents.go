package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The user of every container, by number: Kubernetes cannot see of a name that it is not root's.
const (
	user   = 65532
	nobody = "saba:x:65532:65532:saba:/:/sbin/nologin\n"
)

// An image is what one command is run as in a container.
type image struct {
	name        string // of the image, of its command's folder below cmd, and of its binary
	title       string
	description string
	args        []string // that begin each of its commands
	defaults    []string // that follow unless others are given
	port        string   // that it listens on; "" for none
	state       string   // the folder that it writes to
	keep        bool     // the state is worth a volume where nobody names one
	// extension is whether it runs what people write: commands of configurations, which need a shell, and plugins and
	// checks by their names.
	extension bool
}

// images lists what "make image" makes.
var images = []image{
	{
		name: "saba-agent", title: "saba agent", description: "Watches the containers of a pod or task, or a node, and sends their metrics to a saba server",
		args: []string{"container-agent"}, state: "/var/tmp/mackerel-container-agent", extension: true,
	},
	{
		name: "saba", title: "saba server", description: "Keeps, draws and watches what agents send",
		defaults: []string{"server", "--listen", "0.0.0.0:3838", "--data", "/var/lib/saba"}, port: "3838/tcp", state: "/var/lib/saba", keep: true,
	},
}

// commandFolder holds plugins and checks as links, as in the packages; others' images have theirs in otherFolder.
const (
	commandFolder = "/usr/lib/saba-agent/bin"
	otherFolder   = "/opt/mackerel-agent/plugins/bin"
)

// A build is what images are made of.
type build struct {
	root      string // folder of the repository
	goCommand string
	version   string
	revision  string
	created   time.Time
	arches    []string // GOARCH
}

// version reads the version of saba in the repository at root.
func version(root string) (string, error) {
	b, err := os.ReadFile(filepath.Join(root, "version.go"))
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`(?m)^const Version = "(.+)"$`).FindSubmatch(b)
	if m == nil {
		return "", fmt.Errorf("%s names no version", filepath.Join(root, "version.go"))
	}
	return string(m[1]), nil
}

// write makes the archive of an image for each architecture, in the place of what the file held.
func (b build) write(ctx context.Context, i image, file string) error {
	base, err := b.base(i)
	if err != nil {
		return err
	}
	labels := map[string]string{
		"org.opencontainers.image.created":       b.created.Format(time.RFC3339),
		"org.opencontainers.image.description":   i.description,
		"org.opencontainers.image.documentation": "https://github.com/saba-monitor/saba/tree/main/docs",
		"org.opencontainers.image.licenses":      "Apache-2.0",
		"org.opencontainers.image.revision":      b.revision,
		"org.opencontainers.image.source":        "https://github.com/saba-monitor/saba",
		"org.opencontainers.image.title":         i.title,
		"org.opencontainers.image.version":       b.version,
	}
	var all []platformImage
	for _, arch := range b.arches {
		programs, err := b.programs(ctx, i, arch)
		if err != nil {
			return err
		}
		c := config{
			Created:  b.created,
			platform: platform{Architecture: arch, OS: "linux"},
			Config:   i.runs(labels),
			History: []history{
				{Created: b.created, CreatedBy: "saba: users, folders and CA certificates"},
				{Created: b.created, CreatedBy: "saba: " + i.name + " " + b.version + " for linux/" + arch},
			},
		}
		if arch == "arm64" {
			c.Variant = "v8"
		}
		all = append(all, platformImage{config: c, layers: [][]entry{base, programs}})
	}
	var archive bytes.Buffer
	if err := pack(&archive, i.name+":"+b.version, labels, all); err != nil {
		return err
	}
	if err := os.WriteFile(file+".tmp", archive.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}

// runs says how containers of the image run.
func (i image) runs(labels map[string]string) runConfig {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if i.extension {
		path += ":" + commandFolder
	}
	c := runConfig{
		User:       fmt.Sprintf("%d:%d", user, user),
		Env:        []string{"PATH=" + path},
		Entrypoint: append([]string{"/usr/bin/" + i.name}, i.args...),
		Cmd:        i.defaults,
		WorkingDir: "/",
		Labels:     labels,
		StopSignal: "SIGTERM",
	}
	if i.port != "" {
		c.ExposedPorts = map[string]struct{}{i.port: {}}
	}
	if i.keep {
		c.Volumes = map[string]struct{}{i.state: {}}
	}
	return c
}

// base returns what of an image is the same on every architecture.
func (b build) base(i image) ([]entry, error) {
	license, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	entries := []entry{
		{name: "etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/:/sbin/nologin\n" + nobody)},
		{name: "etc/group", mode: 0o644, content: []byte("root:x:0:\nsaba:x:65532:\n")},
		{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: authorities()},
		{name: "usr/share/doc/" + i.name + "/copyright", mode: 0o644, content: license},
		{name: "tmp/", mode: 0o1777},
		{name: "var/tmp/", mode: 0o1777},
		{name: strings.TrimPrefix(i.state, "/") + "/", mode: 0o700, owner: user},
	}
	if i.extension {
		links, err := commandLinks(b.root)
		if err != nil {
			return nil, err
		}
		entries = append(entries, links...)
		entries = append(entries, entry{name: strings.TrimPrefix(otherFolder, "/"), link: commandFolder})
	}
	return withFolders(entries), nil
}

// programs returns the binaries of an image for an architecture.
func (b build) programs(ctx context.Context, i image, arch string) ([]entry, error) {
	root, err := filepath.Abs(b.root)
	if err != nil {
		return nil, err
	}
	program, err := b.compile(ctx, root, "./cmd/"+i.name, "-X main.revision="+b.revision, arch)
	if err != nil {
		return nil, err
	}
	entries := []entry{{name: "usr/bin/" + i.name, mode: 0o755, content: program}}
	if i.extension {
		s3, err := b.compile(ctx, root, "./cmd/saba-agent-s3", "", arch)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: "usr/bin/saba-agent-s3", mode: 0o755, content: s3}) // reads configurations from S3
		shell, err := b.compile(ctx, filepath.Join(root, "packaging"), "./image/sh", "", arch)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: "bin/sh", mode: 0o755, content: shell})
	}
	return withFolders(entries), nil
}

// compile builds a static binary of the package of a module at dir. What in the environment would make another binary of
// the same source is overruled.
func (b build) compile(ctx context.Context, dir, pkg, ldflags, arch string) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "saba-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	binary := filepath.Join(tmp, "binary")
	cmd := exec.CommandContext(ctx, b.goCommand, "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", strings.TrimSpace("-s -w "+ldflags), "-o", binary, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GODEBUG=", "GOWORK=off", "PWD="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build %s for %s: %w\n%s", pkg, arch, err, bytes.TrimSpace(out))
	}
	return os.ReadFile(binary)
}

// commandLinks returns the names by which configurations call plugins and checks.
func commandLinks(root string) ([]entry, error) {
	tmp, err := os.MkdirTemp("", "saba-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.Command("packaging/links.sh", tmp)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("packaging/links.sh: %w\n%s", err, out)
	}
	files, err := os.ReadDir(tmp)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, f := range files {
		link, err := os.Readlink(filepath.Join(tmp, f.Name()))
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: commandFolder[1:] + "/" + f.Name(), link: link})
	}
	return entries, nil
}

// withFolders adds the folders that entries stand in and do not name.
func withFolders(entries []entry) []entry {
	all := map[string]entry{}
	for _, e := range entries {
		all[e.name] = e
	}
	for _, e := range entries {
		for at, c := range e.name {
			folder := e.name[:at+1]
			if _, there := all[folder]; c == '/' && !there {
				all[folder] = entry{name: folder, mode: 0o755}
			}
		}
	}
	return slices.Collect(maps.Values(all))
}

// authorities returns the certificates that TLS connections begin their trust with, as PEM. They are those of Mozilla, in
// a module, so that the image does not depend on the machine that makes it. A root that is trusted only for certificates of
// before some day is left out: PEM cannot say that.
func authorities() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes all
		}
	}
	return b.Bytes()
}
