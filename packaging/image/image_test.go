package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// agentArchive and serverArchive are what TestMain built: the agent for each architecture, the server for this machine's.
var agentArchive, serverArchive string

// The agent's image is built with these.
const (
	testRevision = "abcdef1"
	testCreated  = "1700000000"
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "saba-image-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		agentArchive, serverArchive = filepath.Join(dir, "saba-agent.tar"), filepath.Join(dir, "saba.tar")
		for _, args := range [][]string{{"-image", "saba-agent"}, {"-image", "saba", "-arch", runtime.GOARCH}} {
			if out, err := makeImage("../..", dir, args...).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// makeImage is the command that "make image" runs, with the sources of root: a test that is compiled to find races takes
// minutes to compress what it takes seconds for.
func makeImage(root, out string, args ...string) *exec.Cmd {
	return exec.Command("go", append([]string{"run", "-race=false", ".", "-root", root, "-out", out, "-revision", testRevision, "-created", testCreated}, args...)...)
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A build of the same commit in another folder, at another time and by another user's habits is the same byte for byte.
// What is compiled is taken from the cache only where nothing of that differs for the compiler.
func TestTwoBuildsAreTheSame(t *testing.T) {
	root := filepath.Join(t.TempDir(), "another folder")
	out, err := exec.Command("git", "-C", "../..", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		info, err := os.Stat(filepath.Join("../..", name))
		if err != nil {
			continue // deleted, and not committed yet
		}
		to := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, read(t, filepath.Join("../..", name)), info.Mode().Perm()&0o700); err != nil {
			t.Fatal(err)
		}
	}
	build := func() (archive []byte) {
		t.Helper()
		dir := t.TempDir()
		cmd := makeImage(root, dir, "-image", "saba-agent", "-arch", runtime.GOARCH)
		// GOAMD64 is one that every machine can run: the command itself is built with it, too.
		cmd.Env = append(os.Environ(), "GOFLAGS=-race -tags=other", "GOAMD64=v2", "TZ=Asia/Tokyo", "USER=other")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return read(t, filepath.Join(dir, "saba-agent.tar"))
	}
	one := build()
	// The first build has more architectures: all that belongs to this one must be in it.
	first, err := untar(bytes.NewReader(read(t, agentArchive)))
	if err != nil {
		t.Fatal(err)
	}
	second, err := untar(bytes.NewReader(one))
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for name := range second {
		if _, there := first[name]; strings.HasPrefix(name, "blobs/sha256/") && there {
			same++
		}
	}
	if same != 4 { // two layers, configuration, manifest; the index names other platforms
		t.Errorf("%d blobs of the second build are in the first, want 4; the first has %q, the second %q",
			same, slices.Sorted(maps.Keys(first)), slices.Sorted(maps.Keys(second)))
	}
	// And the same sources again, whole, are the same file.
	if !bytes.Equal(one, build()) {
		t.Error("two builds of one folder differ")
	}
}

func TestCheckSaysWhatIsThere(t *testing.T) {
	for file, want := range map[string][]string{
		agentArchive:  {"linux/amd64 ", "linux/arm64 "},
		serverArchive: {"linux/" + runtime.GOARCH + " "},
	} {
		r, err := checkFile(t.Context(), file, runtime.GOARCH)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".tar")
		if !strings.HasPrefix(r.name, name+":") || !strings.HasPrefix(r.digest, "sha256:") || len(r.images) != len(want) {
			t.Fatalf("the report is %+v", r)
		}
		for n, line := range r.images {
			// Both architectures ran: qemu-user-static is among what the tests need.
			if !strings.HasPrefix(line, want[n]) || !strings.Contains(line, name+" version ") || !strings.Contains(line, testRevision) {
				t.Errorf("the report says %q", line)
			}
		}
	}
}

// small returns a program that calls itself as the agent does. The agent itself would be packed or read anew for each fault.
func small(t *testing.T, version string) []byte {
	t.Helper()
	dir := t.TempDir()
	source := fmt.Sprintf("package main\n\nfunc main() { println(%q) }\n", "saba-agent version "+version+" (rev "+testRevision+")")
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", "small", "main.go")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GO111MODULE=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return read(t, filepath.Join(dir, "small"))
}

// opened returns the image of an archive for this machine, as it was before it was packed.
func opened(t *testing.T, file string) (string, platformImage) {
	t.Helper()
	files, err := untar(bytes.NewReader(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	a := &archive{files: map[string][]byte{}, used: map[string]bool{}}
	for name, f := range files {
		a.files[name] = f.content
	}
	var top, platforms index
	a.decode("index.json", &top)
	a.blob(top.Manifests[0], typeIndex, &platforms)
	for _, d := range platforms.Manifests {
		var m manifest
		var i platformImage
		if !a.blob(d, typeManifest, &m) || !a.blob(m.Config, typeConfig, &i.config) || i.config.Architecture != runtime.GOARCH {
			continue
		}
		o := &rooted{archive: a, files: map[string]packed{}}
		if !o.layers(m, i.config) {
			break
		}
		var entries []entry
		for name, f := range o.files {
			if f.Typeflag == tar.TypeDir {
				name += "/"
			}
			entries = append(entries, entry{name: name, mode: f.Mode, owner: f.Uid, content: f.content, link: f.Linkname})
		}
		i.layers, i.config.RootFS = [][]entry{entries}, rootFS{}
		return top.Manifests[0].Annotations[refName], i
	}
	t.Fatalf("%s has no image for this machine: %v", file, a.faults)
	return "", platformImage{}
}

// Each thing that the check promises is one that it sees.
func TestCheckFindsFaults(t *testing.T) {
	ls := read(t, "/bin/ls") // which is linked dynamically
	tag, agent := opened(t, agentArchive)
	_, version, _ := strings.Cut(tag, ":")
	program := small(t, version)
	for n, e := range agent.layers[0] {
		switch e.name {
		case "usr/bin/saba-agent":
			agent.layers[0][n].content = program
		case "usr/bin/saba-agent-s3", "bin/sh": // which the check does not run
			agent.layers[0][n].content = elfOf(t, map[string]byte{"amd64": 62, "arm64": 183}[runtime.GOARCH])
		}
	}
	// one returns an image to change.
	one := func() platformImage {
		i := agent
		i.layers = [][]entry{slices.Clone(agent.layers[0])}
		i.config.Config.Labels = maps.Clone(agent.config.Config.Labels)
		return i
	}
	at := func(i *platformImage, name string) *entry {
		n := slices.IndexFunc(i.layers[0], func(e entry) bool { return e.name == name })
		if n < 0 {
			t.Fatalf("the image has no %s", name)
		}
		return &i.layers[0][n]
	}
	for name, tt := range map[string]struct {
		change func(i *platformImage)
		want   string
	}{
		"root":                {func(i *platformImage) { i.config.Config.User = "0:0" }, `the user is "0:0"`},
		"a user by name":      {func(i *platformImage) { i.config.Config.User = "saba" }, `the user is "saba"`},
		"an unknown user":     {func(i *platformImage) { i.config.Config.User = "7:7" }, "does not know the user 7"},
		"no entry point":      {func(i *platformImage) { i.config.Config.Entrypoint = nil }, "there is no entry point"},
		"no program":          {func(i *platformImage) { at(i, "usr/bin/saba-agent").mode = 0o644 }, "/usr/bin/saba-agent is no program"},
		"another program":     {func(i *platformImage) { at(i, "bin/sh").content = ls }, "/bin/sh: it is not static"},
		"another machine's":   {func(i *platformImage) { at(i, "bin/sh").content = elfOf(t, 243) }, "/bin/sh: it is for EM_RISCV"},
		"a script":            {func(i *platformImage) { at(i, "bin/sh").content = []byte("#!/bin/sh\necho no program of its own\n") }, "/bin/sh: bad magic number"},
		"does not run":        {func(i *platformImage) { at(i, "usr/bin/saba-agent").content = program[:len(program)/2] }, "/usr/bin/saba-agent does not run"},
		"another version":     {func(i *platformImage) { i.config.Config.Labels["org.opencontainers.image.version"] = "9" }, "and the image says version"},
		"another commit":      {func(i *platformImage) { i.config.Config.Labels["org.opencontainers.image.revision"] = "0000000" }, "revision 0000000"},
		"a label less":        {func(i *platformImage) { delete(i.config.Config.Labels, "org.opencontainers.image.licenses") }, "the label org.opencontainers.image.licenses is missing"},
		"no certificates":     {func(i *platformImage) { at(i, "etc/ssl/certs/ca-certificates.crt").content = nil }, "has 0 certificates"},
		"a bad certificate":   {func(i *platformImage) { bad(at(i, "etc/ssl/certs/ca-certificates.crt")) }, "certificate 1:"},
		"setuid":              {func(i *platformImage) { at(i, "bin/sh").mode = 0o4755 }, "/bin/sh runs as somebody else"},
		"a file of all":       {func(i *platformImage) { at(i, "etc/passwd").mode = 0o666 }, "/etc/passwd can be written by others"},
		"a folder of all":     {func(i *platformImage) { at(i, "etc/").mode = 0o777 }, "/etc can be written by others"},
		"no /tmp":             {func(i *platformImage) { at(i, "tmp/").name = "temp/" }, "/tmp is missing"},
		"a link to nowhere":   {func(i *platformImage) { at(i, "opt/mackerel-agent/plugins/bin").link = "/usr/bin/none" }, "leads to /usr/bin/none, which is missing"},
		"a link in a circle":  {func(i *platformImage) { at(i, "opt/mackerel-agent/plugins/bin").link = "bin" }, "leads to bin, which is missing"},
		"a volume of another": {func(i *platformImage) { i.config.Config.Volumes = map[string]struct{}{"/var": {}} }, "/var is no folder of the user"},
		"a lost folder":       {func(i *platformImage) { i.config.Config.WorkingDir = "/srv" }, "the folder /srv is missing"},
		"another signal":      {func(i *platformImage) { i.config.Config.StopSignal = "SIGKILL" }, `the signal to stop is "SIGKILL"`},
		"hides a file":        {func(i *platformImage) { at(i, "var/tmp/").name = "var/.wh.x/" }, "hides var/.wh.x"},
		"leads out":           {func(i *platformImage) { at(i, "bin/sh").name = "../sh" }, "leads out of the tar"},
		"another system":      {func(i *platformImage) { i.config.OS = "plan9" }, "plan9"},
	} {
		t.Run(name, func(t *testing.T) {
			i := one()
			tt.change(&i)
			var b bytes.Buffer
			if err := pack(&b, tag, i.config.Config.Labels, []platformImage{i}); err != nil {
				t.Fatal(err)
			}
			_, err := checkArchive(t.Context(), &b, runtime.GOARCH)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("checkArchive = %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) { // what the changes begin with is right
		i := one()
		var b bytes.Buffer
		if err := pack(&b, tag, i.config.Config.Labels, []platformImage{i}); err != nil {
			t.Fatal(err)
		}
		if _, err := checkArchive(t.Context(), &b, runtime.GOARCH); err != nil {
			t.Error(err)
		}
	})
}

// elfOf returns an ELF file of a machine, without anything in it.
func elfOf(t *testing.T, machine byte) []byte {
	t.Helper()
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	b[16], b[18], b[20], b[52], b[54], b[58] = 2, machine, 1, 64, 56, 64
	return b
}

// bad spoils the first certificate of a bundle.
func bad(e *entry) {
	e.content = slices.Concat([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), e.content)
}

// A file of an archive that is changed, missing or too many is seen.
func TestCheckFindsDamage(t *testing.T) {
	tag, server := opened(t, serverArchive)
	_, version, _ := strings.Cut(tag, ":")
	for n, e := range server.layers[0] {
		if e.name == "usr/bin/saba" {
			server.layers[0][n].content = small(t, version)
		}
	}
	var b bytes.Buffer
	if err := pack(&b, tag, server.config.Config.Labels, []platformImage{server}); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	files, err := untar(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	biggest := ""
	for name, f := range files {
		if biggest == "" || len(f.content) > len(files[biggest].content) {
			biggest = name
		}
	}
	for name, tt := range map[string]struct {
		change func(map[string][]byte)
		want   string
	}{
		"a bit":                 {func(m map[string][]byte) { m[biggest] = flipped(m[biggest]) }, "has the digest"},
		"a short blob":          {func(m map[string][]byte) { m[biggest] = m[biggest][1:] }, "is described with"},
		"a blob less":           {func(m map[string][]byte) { delete(m, biggest) }, biggest + " is missing"},
		"a blob more":           {func(m map[string][]byte) { m["blobs/sha256/x"] = nil }, "nothing names the file blobs/sha256/x"},
		"no index":              {func(m map[string][]byte) { delete(m, "index.json") }, "index.json is missing"},
		"another layout":        {func(m map[string][]byte) { m["oci-layout"] = []byte(`{"imageLayoutVersion":"2"}`) }, `version "2"`},
		"no JSON":               {func(m map[string][]byte) { m["manifest.json"] = []byte("[") }, "manifest.json: unexpected end"},
		"another docker's view": {func(m map[string][]byte) { m["manifest.json"] = []byte(`[{"Config":"x"}]`) }, "manifest.json and the index differ"},
	} {
		t.Run(name, func(t *testing.T) {
			parts := map[string][]byte{}
			for name, f := range files {
				if f.Typeflag != tar.TypeDir {
					parts[name] = f.content
				}
			}
			tt.change(parts)
			_, err := checkArchive(t.Context(), tarOf(t, parts), runtime.GOARCH)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("checkArchive = %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("nothing", func(t *testing.T) { // what the changes begin with is right
		if _, err := checkArchive(t.Context(), bytes.NewReader(whole), runtime.GOARCH); err != nil {
			t.Error(err)
		}
	})
	t.Run("cut off", func(t *testing.T) {
		if _, err := checkArchive(t.Context(), bytes.NewReader(whole[:len(whole)/2]), runtime.GOARCH); err == nil {
			t.Error("half an archive passes")
		}
	})
}

func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func tarOf(t *testing.T, files map[string][]byte) io.Reader {
	t.Helper()
	s := blobs{}
	var entries []entry
	for name, b := range files {
		entries = append(entries, entry{name: name, mode: 0o644, content: b})
	}
	d, _, err := s.layer(entries)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gzip.NewReader(bytes.NewReader(s[d.Digest]))
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// Every link of the image is a name that the agent answers to, and every plugin and check has one.
func TestCommandLinks(t *testing.T) {
	links, err := commandLinks("../..")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, filepath.Base(l.name))
	}
	folders := 0
	for _, kind := range []string{"plugins", "checks"} {
		all, err := fs.ReadDir(os.DirFS("../.."), kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			if !d.IsDir() {
				continue
			}
			folders++
			name := map[string]string{"plugins": "mackerel-plugin-", "checks": "check-"}[kind] + d.Name()
			if !slices.Contains(names, name) {
				t.Errorf("%s is missing in %q", name, names)
			}
		}
	}
	if want := folders + 4; len(names) != want {
		t.Errorf("there are %d links, want %d", len(names), want)
	}
}

func TestRunRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"an unknown image":        {[]string{"-image", "sabre"}, `there is no image "sabre"`},
		"no architecture":         {[]string{"-arch", " "}, "-arch names no architecture"},
		"an unknown architecture": {[]string{"-image", "saba-agent", "-arch", "z80"}, "z80"},
		"an argument":             {[]string{"x"}, `unexpected argument "x"`},
		"no repository":           {[]string{"-root", "/nowhere"}, "/nowhere/version.go"},
		"no archive":              {[]string{"-check", "/nowhere.tar"}, "/nowhere.tar"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := run(ctx, append([]string{"-root", "../..", "-out", t.TempDir()}, tt.args...), io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run = %v, want %q", err, tt.want)
			}
		})
	}
}
