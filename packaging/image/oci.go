package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// The media types of the OCI image specification, version 1.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// Keys of annotations and labels.
const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// A descriptor names a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"` // "sha256:" and 64 digits
	Size        int64             `json:"size"`   // bytes
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

// An index lists an image's manifests, one for each platform. That of an archive lists the archive's images.
type index struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Manifests     []descriptor      `json:"manifests"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// A manifest is an image for one platform.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// A config says how a container of the image runs, and of which layers its files are.
type config struct {
	Created time.Time `json:"created"`
	platform
	Config  runConfig `json:"config"`
	RootFS  rootFS    `json:"rootfs"`
	History []history `json:"history"`
}

type runConfig struct {
	User         string              `json:"User"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env"`
	Entrypoint   []string            `json:"Entrypoint"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkingDir   string              `json:"WorkingDir"`
	Labels       map[string]string   `json:"Labels"`
	StopSignal   string              `json:"StopSignal"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"` // digests of the layers before compression
}

type history struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
}

// A dockerManifest is what "docker load" reads where it knows no OCI archives; it names files of the archive.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// blobs are an archive's, by digest.
type blobs map[string][]byte

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// blobFile is the name in an archive of the blob with a digest.
func blobFile(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

// add keeps a blob and returns its descriptor.
func (s blobs) add(mediaType string, b []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: digestOf(b), Size: int64(len(b))}
	s[d.Digest] = b
	return d
}

// addJSON keeps v, written as JSON, and returns its descriptor.
func (s blobs) addJSON(mediaType string, v any) (descriptor, error) {
	b, err := json.Marshal(v) // struct fields in their order, maps sorted: the same bytes for the same value
	if err != nil {
		return descriptor{}, err
	}
	return s.add(mediaType, b), nil
}

// An entry is a file, a folder or a symbolic link of a layer.
type entry struct {
	name    string // without a leading slash; a folder's ends with one
	mode    int64  // permissions; a link has none of its own
	owner   int    // user and group
	content []byte
	link    string // where a link leads; "" for what is none
}

// layer packs entries in the order of their names into a compressed tar, which it keeps. diffID is the digest of the
// tar itself. Nothing in it depends on when or by whom it is made.
func (s blobs) layer(entries []entry) (d descriptor, diffID string, err error) {
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	entries = slices.SortedFunc(slices.Values(entries), func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for i, e := range entries {
		if i > 0 && e.name == entries[i-1].name {
			return descriptor{}, "", fmt.Errorf("%s is there twice", e.name)
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.content)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		switch {
		case e.link != "":
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return descriptor{}, "", fmt.Errorf("pack %s: %w", e.name, err)
		}
		if _, err := w.Write(e.content); err != nil {
			return descriptor{}, "", fmt.Errorf("pack %s: %w", e.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return descriptor{}, "", err
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression) // its header holds no time and no name
	if err != nil {
		return descriptor{}, "", err
	}
	if _, err := z.Write(plain.Bytes()); err != nil {
		return descriptor{}, "", err
	}
	if err := z.Close(); err != nil {
		return descriptor{}, "", err
	}
	return s.add(typeLayer, packed.Bytes()), digestOf(plain.Bytes()), nil
}

// A platformImage is an image for one platform before it is packed.
type platformImage struct {
	config config // but for RootFS, which follows from the layers
	layers [][]entry
}

// pack writes an archive to w with one image called tag, "name:version", for several platforms.
func pack(w io.Writer, tag string, annotations map[string]string, images []platformImage) error {
	s := blobs{}
	platforms := index{SchemaVersion: 2, MediaType: typeIndex, Annotations: annotations}
	var docker []dockerManifest
	for _, i := range images {
		m := manifest{SchemaVersion: 2, MediaType: typeManifest, Annotations: annotations}
		i.config.RootFS.Type = "layers"
		old := dockerManifest{RepoTags: []string{tag + "-" + i.config.Architecture}} // two images cannot share a name there
		for _, entries := range i.layers {
			d, id, err := s.layer(entries)
			if err != nil {
				return err
			}
			m.Layers, old.Layers = append(m.Layers, d), append(old.Layers, blobFile(d.Digest))
			i.config.RootFS.DiffIDs = append(i.config.RootFS.DiffIDs, id)
		}
		var err error
		if m.Config, err = s.addJSON(typeConfig, i.config); err != nil {
			return err
		}
		d, err := s.addJSON(typeManifest, m)
		if err != nil {
			return err
		}
		d.Platform, old.Config = &i.config.platform, blobFile(m.Config.Digest)
		platforms.Manifests, docker = append(platforms.Manifests, d), append(docker, old)
	}
	whole, err := s.addJSON(typeIndex, platforms)
	if err != nil {
		return err
	}
	whole.Annotations = map[string]string{refName: tag, containerdName: "docker.io/library/" + tag}
	return writeArchive(w, s, index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{whole}}, docker)
}

// writeArchive writes an OCI layout as a tar to w: blobs, an index that names images, and what docker reads.
func writeArchive(w io.Writer, s blobs, images index, docker []dockerManifest) error {
	top, err := json.Marshal(images)
	if err != nil {
		return err
	}
	legacy, err := json.Marshal(docker)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"oci-layout":    []byte(`{"imageLayoutVersion":"1.0.0"}`),
		"index.json":    top,
		"manifest.json": legacy,
	}
	for digest, b := range s {
		files[blobFile(digest)] = b
	}
	t := tar.NewWriter(w)
	for _, name := range []string{"blobs/", "blobs/sha256/"} {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b := files[name]
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(b)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		if _, err := t.Write(b); err != nil {
			return err
		}
	}
	return t.Close()
}
