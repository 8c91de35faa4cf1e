package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Limits on what is read of an archive.
const (
	mostFiles  = 10_000
	mostBytes  = 1 << 30 // of a file, and of a layer that is unpacked
	mostLinks  = 10      // of links that lead to links
	fewestCAs  = 50
	writableBy = 0o022 // group and others
)

// A report says what an archive holds.
type report struct {
	name   string   // its image's, "saba-agent:0.1.0"
	digest string   // of the index of its platforms, by which a registry knows it
	images []string // a line for each platform
}

// checkFile checks the archive in a file. It runs the programs of the architecture native as they are, and others where
// qemu's user emulation is installed. The error joins all faults.
func checkFile(ctx context.Context, file, native string) (report, error) {
	f, err := os.Open(file)
	if err != nil {
		return report{}, err
	}
	defer f.Close()
	return checkArchive(ctx, f, native)
}

// An archive is one that is being checked.
type archive struct {
	files  map[string][]byte
	used   map[string]bool // files that something names
	native string
	faults []error
}

func (a *archive) fault(format string, args ...any) {
	a.faults = append(a.faults, fmt.Errorf(format, args...))
}

func checkArchive(ctx context.Context, r io.Reader, native string) (report, error) {
	files, err := untar(r)
	if err != nil {
		return report{}, err
	}
	a := &archive{files: map[string][]byte{}, used: map[string]bool{}, native: native}
	for name, f := range files {
		if f.Typeflag != tar.TypeDir {
			a.files[name] = f.content
		}
	}
	var layout struct {
		Version string `json:"imageLayoutVersion"`
	}
	a.decode("oci-layout", &layout)
	if layout.Version != "1.0.0" {
		a.fault("oci-layout names version %q, not 1.0.0", layout.Version)
	}
	var top, platforms index
	a.decode("index.json", &top)
	if len(top.Manifests) != 1 {
		return report{}, errors.Join(append(a.faults, fmt.Errorf("index.json names %d images, not one", len(top.Manifests)))...)
	}
	whole := top.Manifests[0]
	rep := report{name: whole.Annotations[refName], digest: whole.Digest}
	name, version, ok := strings.Cut(rep.name, ":")
	if !ok || name == "" || version == "" {
		a.fault("index.json calls the image %q, which is no name and version", rep.name)
	}
	a.blob(whole, typeIndex, &platforms)
	var docker []dockerManifest
	a.decode("manifest.json", &docker)
	if len(docker) != len(platforms.Manifests) {
		a.fault("manifest.json names %d images, and the index %d", len(docker), len(platforms.Manifests))
	}
	for n, d := range platforms.Manifests {
		var m manifest
		var c config
		if !a.blob(d, typeManifest, &m) || !a.blob(m.Config, typeConfig, &c) {
			continue
		}
		if d.Platform == nil || *d.Platform != c.platform || c.OS != "linux" {
			a.fault("the index says %+v of a configuration for %+v", d.Platform, c.platform)
		}
		a.docker(docker, n, rep.name+"-"+c.Architecture, m)
		on := &rooted{archive: a, arch: c.Architecture, files: map[string]packed{}}
		if !on.layers(m, c) {
			continue
		}
		on.runs(c)
		on.system(c)
		line := on.try(ctx, c, version)
		size := m.Config.Size
		for _, l := range m.Layers {
			size += l.Size
		}
		rep.images = append(rep.images, fmt.Sprintf("linux/%s %.1f MB: %s", c.Architecture, float64(size)/1e6, line))
	}
	for _, f := range slices.Sorted(maps.Keys(a.files)) {
		if !a.used[f] {
			a.fault("nothing names the file %s", f)
		}
	}
	return rep, errors.Join(a.faults...)
}

// decode reads a file of the archive that is JSON.
func (a *archive) decode(name string, v any) bool {
	a.used[name] = true
	b, ok := a.files[name]
	if !ok {
		a.fault("%s is missing", name)
		return false
	}
	if err := json.Unmarshal(b, v); err != nil {
		a.fault("%s: %w", name, err)
		return false
	}
	return true
}

// content returns the blob that d describes as it is described, or nil.
func (a *archive) content(d descriptor, mediaType string) []byte {
	name := blobFile(d.Digest)
	a.used[name] = true
	b, ok := a.files[name]
	switch {
	case !ok:
		a.fault("%s is missing", name)
	case d.MediaType != mediaType:
		a.fault("%s is described as %q, not %q", name, d.MediaType, mediaType)
	case d.Size != int64(len(b)):
		a.fault("%s has %d bytes, and is described with %d", name, len(b), d.Size)
	case digestOf(b) != d.Digest:
		a.fault("%s has the digest %s", name, digestOf(b))
	default:
		return b
	}
	return nil
}

// blob reads a blob that is JSON.
func (a *archive) blob(d descriptor, mediaType string, v any) bool {
	return a.content(d, mediaType) != nil && a.decode(blobFile(d.Digest), v)
}

// docker checks that what docker reads of the image at place n is the image that the index names.
func (a *archive) docker(all []dockerManifest, n int, tag string, m manifest) {
	if n >= len(all) {
		return // said already
	}
	var layers []string
	for _, l := range m.Layers {
		layers = append(layers, blobFile(l.Digest))
	}
	if d := all[n]; d.Config != blobFile(m.Config.Digest) || !slices.Equal(d.Layers, layers) || !slices.Equal(d.RepoTags, []string{tag}) {
		a.fault("manifest.json and the index differ: %+v", d)
	}
}

// A packed file is one of a tar, with what it holds.
type packed struct {
	*tar.Header
	content []byte
}

// untar reads a tar whole. Names have no slash at their end; one that leads out of the tar is an error.
func untar(r io.Reader) (map[string]packed, error) {
	files := map[string]packed{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean(h.Name)
		switch _, twice := files[name]; {
		case !filepath.IsLocal(h.Name):
			return nil, fmt.Errorf("the name %q leads out of the tar", h.Name)
		case twice:
			return nil, fmt.Errorf("%s is there twice", name)
		case len(files) == mostFiles:
			return nil, fmt.Errorf("there are more than %d files", mostFiles)
		case h.Size > mostBytes:
			return nil, fmt.Errorf("%s has more than %d bytes", name, mostBytes)
		case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeSymlink:
			return nil, fmt.Errorf("%s is neither file nor folder nor symbolic link", name)
		}
		content, err := io.ReadAll(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = packed{h, content}
	}
}

// rooted is the file system of one image.
type rooted struct {
	*archive
	arch  string
	files map[string]packed // by their names without a leading slash; archive has files of its own
}

func (o *rooted) fault(format string, args ...any) {
	o.archive.fault("%s: %w", o.arch, fmt.Errorf(format, args...))
}

// layers lays the layers of an image upon each other.
func (o *rooted) layers(m manifest, c config) bool {
	if c.RootFS.Type != "layers" || len(c.RootFS.DiffIDs) != len(m.Layers) {
		o.fault("the manifest has %d layers, and the configuration %d", len(m.Layers), len(c.RootFS.DiffIDs))
		return false
	}
	for n, d := range m.Layers {
		compressed := o.content(d, typeLayer)
		if compressed == nil {
			return false
		}
		z, err := gzip.NewReader(bytes.NewReader(compressed))
		if err != nil {
			o.fault("layer %d: %w", n+1, err)
			return false
		}
		plain, err := io.ReadAll(io.LimitReader(z, mostBytes+1))
		if err == nil && len(plain) > mostBytes {
			err = fmt.Errorf("it has more than %d bytes", mostBytes)
		}
		if err == nil && digestOf(plain) != c.RootFS.DiffIDs[n] {
			err = fmt.Errorf("unpacked it has the digest %s, not %s", digestOf(plain), c.RootFS.DiffIDs[n])
		}
		var files map[string]packed
		if err == nil {
			files, err = untar(bytes.NewReader(plain))
		}
		if err != nil {
			o.fault("layer %d: %w", n+1, err)
			return false
		}
		for name, f := range files {
			if strings.HasPrefix(path.Base(name), ".wh.") {
				o.fault("layer %d hides %s", n+1, name)
			}
			if f.Mode&0o6000 != 0 {
				o.fault("/%s runs as somebody else", name)
			}
			// In a folder that all may write to, a sticky bit keeps each one's files.
			if f.Typeflag != tar.TypeSymlink && f.Mode&writableBy != 0 && (f.Typeflag != tar.TypeDir || f.Mode&0o1000 == 0) {
				o.fault("/%s can be written by others", name)
			}
			o.files[name] = f
		}
	}
	return true
}

// find returns what an absolute name leads to, through links.
func (o *rooted) find(name string) (packed, bool) {
	for range mostLinks {
		name = strings.TrimPrefix(path.Clean(name), "/")
		f, ok := o.files[name]
		for dir := path.Dir(name); !ok && dir != "."; dir = path.Dir(dir) { // a folder on the way may be a link
			if link, there := o.files[dir]; there && link.Typeflag == tar.TypeSymlink {
				f, ok = packed{Header: &tar.Header{Name: dir, Typeflag: tar.TypeSymlink, Linkname: path.Join(target(dir, link), strings.TrimPrefix(name, dir))}}, true
			}
		}
		if !ok || f.Typeflag != tar.TypeSymlink {
			return f, ok
		}
		name = target(strings.TrimSuffix(f.Name, "/"), f)
	}
	return packed{}, false
}

// target is the absolute name that a link at name leads to.
func target(name string, link packed) string {
	if path.IsAbs(link.Linkname) {
		return link.Linkname
	}
	return path.Join("/", path.Dir(name), link.Linkname)
}

// runs checks how the image's containers run.
func (o *rooted) runs(c config) {
	uid, gid, _ := strings.Cut(c.Config.User, ":")
	for _, id := range []string{uid, gid} {
		if n, err := strconv.Atoi(id); err != nil || n <= 0 {
			o.fault("the user is %q, which is not the number of a user and a group besides root", c.Config.User)
			break
		}
	}
	if len(c.Config.Entrypoint) == 0 {
		o.fault("there is no entry point")
		return
	}
	for _, key := range []string{"created", "description", "documentation", "licenses", "revision", "source", "title", "version"} {
		if c.Config.Labels["org.opencontainers.image."+key] == "" {
			o.fault("the label org.opencontainers.image.%s is missing", key)
		}
	}
	if c.Config.StopSignal != "SIGTERM" {
		o.fault("the signal to stop is %q, not SIGTERM", c.Config.StopSignal)
	}
	folders := slices.Sorted(maps.Keys(c.Config.Volumes))
	for _, f := range folders {
		if d, ok := o.find(f); !ok || d.Typeflag != tar.TypeDir || strconv.Itoa(d.Uid) != uid {
			o.fault("%s is no folder of the user %s", f, uid)
		}
	}
	if d, ok := o.find(cmp.Or(c.Config.WorkingDir, "/")); c.Config.WorkingDir != "/" && (!ok || d.Typeflag != tar.TypeDir) {
		o.fault("the folder %s is missing", c.Config.WorkingDir)
	}
}

// system checks the files that programs look for, and programs.
func (o *rooted) system(c config) {
	pool, most := 0, "etc/ssl/certs/ca-certificates.crt"
	for rest := o.files[most].content; ; pool++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			o.fault("/%s: certificate %d: %w", most, pool+1, err)
		}
	}
	if pool < fewestCAs {
		o.fault("/%s has %d certificates, too few to reach the world", most, pool)
	}
	if d, ok := o.find("/tmp"); !ok || d.Mode != 0o1777 {
		o.fault("/tmp is missing, or not everybody's")
	}
	uid, _, _ := strings.Cut(c.Config.User, ":")
	if !strings.Contains(string(o.files["etc/passwd"].content), ":"+uid+":") {
		o.fault("/etc/passwd does not know the user %s", uid)
	}
	for _, name := range slices.Sorted(maps.Keys(o.files)) {
		f := o.files[name]
		if f.Typeflag == tar.TypeSymlink {
			if _, ok := o.find("/" + name); !ok {
				o.fault("the link /%s leads to %s, which is missing", name, f.Linkname)
			}
			continue
		}
		if f.Typeflag == tar.TypeReg && f.Mode&0o111 != 0 {
			if err := static(f.content, o.arch); err != nil {
				o.fault("/%s: %w", name, err)
			}
		}
	}
}

// static says why a program does not run on an architecture without anything else.
func static(program []byte, arch string) error {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return err
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	if want, known := machines[arch]; !known || f.Machine != want {
		return fmt.Errorf("it is for %v", f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			return errors.New("it is not static")
		}
	}
	return nil
}

// try asks the image's program for its version, which must be that of the labels, and says what came of it.
func (o *rooted) try(ctx context.Context, c config, version string) string {
	if len(c.Config.Entrypoint) == 0 {
		return "" // said already
	}
	program, ok := o.find(c.Config.Entrypoint[0])
	if !ok || program.Typeflag != tar.TypeReg || program.Mode&0o111 == 0 {
		o.fault("%s is no program", c.Config.Entrypoint[0])
		return ""
	}
	dir, err := os.MkdirTemp("", "saba-image-")
	if err != nil {
		o.fault("%w", err)
		return ""
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, path.Base(c.Config.Entrypoint[0]))
	if err := os.WriteFile(binary, program.content, 0o700); err != nil {
		o.fault("%w", err)
		return ""
	}
	args := []string{binary, "version"}
	if o.arch != o.native {
		emulator, err := exec.LookPath(map[string]string{"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}[o.arch])
		if err != nil {
			return "not tried here, where no qemu-user-static is"
		}
		args = append([]string{emulator}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = []string{"HOME=" + dir}
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	line := strings.TrimSpace(string(out))
	if err != nil {
		o.fault("%s does not run: %w: %s", c.Config.Entrypoint[0], err, line)
		return ""
	}
	revision := c.Config.Labels["org.opencontainers.image.revision"]
	if !strings.Contains(line, " version "+version+" ") || !strings.Contains(line, revision) || c.Config.Labels["org.opencontainers.image.version"] != version {
		o.fault("%s calls itself %q, and the image says version %s, revision %s", c.Config.Entrypoint[0], line, version, revision)
	}
	return line
}
