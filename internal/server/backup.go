package server

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// A backup is a tar, compressed by gzip: the database as one SQLite file without a log, wherever it was, the files of a snapshot of the
// samples, who this machine's own agent is, the key of links to pictures, and at its end a manifest with the checksum of each. Without
// the manifest it is not whole. The files stand where they stand in a data folder.
const (
	backupFormat   = 1
	manifestName   = "manifest.json"
	databaseName   = "saba.db"
	samplesName    = "samples"
	agentFolder    = "agent"
	backupFolder   = "backup.tmp"  // in the data folder: the copy of the database until it is in the archive
	restoreFolder  = "restore.tmp" // in the data folder: what was restored until all of it is there
	maxManifest    = 64 << 20      // bytes
	copyBufferSize = 256 << 10
)

// smallFiles are files of a data folder that a backup holds besides the engines', where they are there. Those of the agent say which host this
// machine is; its API key is not among them: a start of saba up makes a new one.
var smallFiles = []string{agentFolder + "/id", agentFolder + "/host.json", pictureKey}

// A Manifest says what is in a backup.
type Manifest struct {
	Format int            `json:"format"`
	Saba   string         `json:"saba"`  // the version that took it
	Taken  time.Time      `json:"taken"` // all that was answered for before is in it
	Files  []ManifestFile `json:"files"` // in the order of the archive
}

// A ManifestFile is one file of a backup.
type ManifestFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
}

// Size returns the bytes of all files.
func (m Manifest) Size() int64 {
	n := int64(0)
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// Backup writes a backup of the data folder to w: by the server that runs on it, or, when none does, by itself.
// live says which. database is the URL of a PostgreSQL database, which a running server knows by itself; "" for the file in
// the folder. Errors are sentences for the person who asked.
func Backup(ctx context.Context, data, database string, now func() time.Time, w io.Writer) (live bool, err error) {
	// Here and not in the server, whose time is better spent. What is in the blocks is dense already.
	zipped, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return false, err
	}
	if live, err = backup(ctx, data, database, now, zipped); err != nil {
		return live, err
	}
	if err := zipped.Close(); err != nil {
		return live, fmt.Errorf("write the backup: %w", err)
	}
	return live, nil
}

// backup is Backup without the compression.
func backup(ctx context.Context, data, database string, now func() time.Time, w io.Writer) (live bool, err error) {
	// The samples are there wherever the database is.
	if _, err := os.Stat(filepath.Join(data, samplesName)); errors.Is(err, fs.ErrNotExist) {
		return false, saba.Errorf(saba.ErrNotFound, "%s is no data folder of saba's: it holds no %s; name the folder with --data", data, samplesName)
	} else if err != nil {
		return false, fmt.Errorf("look into the data folder: %w", err)
	}
	if live, err := askForBackup(ctx, data, w); live || err != nil {
		return live, err
	}
	target, err := databaseOf(data, database)
	if err != nil {
		return false, err
	}
	unlock, err := lockFolder(data)
	if err != nil {
		return false, fmt.Errorf("no saba answers on the socket in the data folder, so it was to be read directly, but: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	taken := now()
	samples, err := tsdb.SnapshotAtRest(ctx, filepath.Join(data, samplesName))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, samples.Close()) }()
	return false, writeBackup(ctx, data, target, false, taken, samples, w)
}

// backup writes a backup of the running server's data to w.
func (s *Server) backup(ctx context.Context, w io.Writer) (err error) {
	taken := s.opts.Now()
	// The samples first: whatever host has one is in the database by then.
	samples, err := s.samples.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, samples.Close()) }()
	target, err := databaseOf(s.opts.Data, s.opts.Database)
	if err != nil {
		return err
	}
	return writeBackup(ctx, s.opts.Data, target, true, taken, samples, w)
}

func writeBackup(ctx context.Context, data, target string, inUse bool, taken time.Time, samples *tsdb.Snapshot, w io.Writer) (err error) {
	temporary := filepath.Join(data, backupFolder)
	if err := os.RemoveAll(temporary); err != nil {
		return fmt.Errorf("remove what an earlier backup left: %w", err)
	}
	if err := os.Mkdir(temporary, 0o700); err != nil {
		return fmt.Errorf("make room for a copy of the database: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()
	database := filepath.Join(temporary, databaseName)
	if err := sqldb.Copy(ctx, target, database, inUse); err != nil {
		return err
	}
	a := archive{tar: tar.NewWriter(w), manifest: Manifest{Format: backupFormat, Saba: saba.Version, Taken: taken.UTC().Truncate(time.Second)}}
	if err := a.addFile(ctx, databaseName, database); err != nil {
		return err
	}
	for _, name := range smallFiles {
		if err := a.addFile(ctx, name, filepath.Join(data, filepath.FromSlash(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, f := range samples.Files {
		if err := a.add(ctx, path.Join(samplesName, f.Name), f.Size, f.Reader()); err != nil {
			return err
		}
	}
	return a.finish()
}

// An archive is a backup that is being written.
type archive struct {
	tar      *tar.Writer
	manifest Manifest
}

func (a *archive) addFile(ctx context.Context, name, from string) (err error) {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return a.add(ctx, name, info.Size(), f)
}

func (a *archive) add(ctx context.Context, name string, size int64, r io.Reader) error {
	if err := a.header(name, size); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.CopyBuffer(justWriter{a.tar}, interruptible{ctx, io.TeeReader(io.LimitReader(r, size), sum)}, make([]byte, copyBufferSize)); err != nil {
		return fmt.Errorf("put %s into the backup: %w", name, err)
	}
	a.manifest.Files = append(a.manifest.Files, ManifestFile{name, size, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

func (a *archive) header(name string, size int64) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: a.manifest.Taken}
	if err := a.tar.WriteHeader(h); err != nil { // which says as well that the file before was too short
		return fmt.Errorf("put %s into the backup: %w", name, err)
	}
	return nil
}

func (a *archive) finish() error {
	b, err := json.MarshalIndent(a.manifest, "", " ")
	if err != nil {
		return err
	}
	if err := a.header(manifestName, int64(len(b))); err != nil {
		return err
	}
	if _, err := a.tar.Write(b); err != nil {
		return fmt.Errorf("put %s into the backup: %w", manifestName, err)
	}
	return a.tar.Close()
}

// justWriter hides other methods of a writer: io.CopyBuffer would not use its buffer.
type justWriter struct{ io.Writer }

// interruptible ends with ctx.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (r interruptible) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// ReadBackup reads a backup to its end and returns its manifest. The error matches saba.ErrInvalid when it is none,
// or not whole.
func ReadBackup(ctx context.Context, r io.Reader) (Manifest, error) {
	return readBackup(ctx, r, func(string, io.Reader) error { return nil })
}

// readBackup reads a backup to its end. each gets the files in order, and need not read them; what it made of
// them counts only if there is no error in the end.
func readBackup(ctx context.Context, r io.Reader, each func(name string, r io.Reader) error) (Manifest, error) {
	var m Manifest
	unzipped, err := gzip.NewReader(bufio.NewReaderSize(interruptible{ctx, r}, copyBufferSize))
	if err != nil {
		return m, noBackup(ctx, "it is not compressed by gzip", err)
	}
	files := tar.NewReader(unzipped)
	var found []ManifestFile
	for {
		h, err := files.Next()
		if err != nil { // io.EOF too: the manifest comes before the end
			return m, noBackup(ctx, "it is cut short, or damaged", err)
		}
		if h.Name == manifestName {
			break
		}
		if h.Typeflag != tar.TypeReg || !mayRestore(h.Name) {
			return m, saba.Errorf(saba.ErrInvalid, "this is no backup of saba's: it holds %q, which belongs into none", h.Name)
		}
		sum := &summing{r: files, sum: sha256.New()}
		if err := each(h.Name, sum); err != nil {
			if sum.err != nil {
				return m, noBackup(ctx, "it is cut short, or damaged in "+h.Name, sum.err)
			}
			return m, err
		}
		if _, err := io.CopyBuffer(io.Discard, justReader{sum}, make([]byte, copyBufferSize)); err != nil {
			return m, noBackup(ctx, "it is cut short, or damaged in "+h.Name, err)
		}
		found = append(found, ManifestFile{h.Name, h.Size, hex.EncodeToString(sum.sum.Sum(nil))})
	}
	b, err := io.ReadAll(io.LimitReader(files, maxManifest))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err == nil {
		// To the end: there the checksum of gzip stands.
		_, err = io.Copy(io.Discard, unzipped)
	}
	switch {
	case err != nil:
		return m, noBackup(ctx, "its manifest cannot be read", err)
	case m.Format > backupFormat:
		return m, saba.Errorf(saba.ErrInvalid, "this backup was written by a newer saba (%s): restore it with that one, or a newer one", m.Saba)
	case m.Format != backupFormat:
		return m, saba.Errorf(saba.ErrInvalid, "this is no backup of saba's: its manifest has the format %d", m.Format)
	}
	for i := range max(len(found), len(m.Files)) {
		switch {
		case i >= len(found) || i >= len(m.Files) || found[i].Name != m.Files[i].Name:
			return m, saba.Errorf(saba.ErrInvalid, "this backup is damaged: its files are not those of its manifest")
		case found[i] != m.Files[i]:
			return m, saba.Errorf(saba.ErrInvalid, "this backup is damaged: %s has another checksum than when it was written", found[i].Name)
		}
	}
	if !slices.ContainsFunc(found, func(f ManifestFile) bool { return f.Name == databaseName }) {
		return m, saba.Errorf(saba.ErrInvalid, "this is no backup of saba's: it holds no %s", databaseName)
	}
	return m, nil
}

// noBackup says why what was read is no backup; an interruption is no reason.
func noBackup(ctx context.Context, why string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("read the backup: %w", ctx.Err())
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the file ends too early")
	}
	return saba.Errorf(saba.ErrInvalid, "this is no whole backup of saba's: %s: %v", why, err)
}

// mayRestore says whether a file of that name belongs into a backup. It leads nowhere but into the data folder.
func mayRestore(name string) bool {
	if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name || strings.Contains(name, `\`) {
		return false
	}
	return name == databaseName || strings.HasPrefix(name, samplesName+"/") || slices.Contains(smallFiles, name)
}

// summing reads and sums, and remembers an error of the reader.
type summing struct {
	r   io.Reader
	sum hash.Hash
	err error
}

func (s *summing) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.sum.Write(b[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// justReader hides other methods of a reader: io.CopyBuffer would not use its buffer.
type justReader struct{ io.Reader }

// Restore puts the content of a backup into the data folder, which is made when it is missing and has to be
// empty: the error matches saba.ErrConflict when it is not. database is the URL of a PostgreSQL database, which has to be
// empty too, and gets all but the samples; "" for a file in the folder. It does not matter which of
// both the backup was taken from. Unless Restore returns nil, nothing is restored. A
// restore that was killed leaves a folder that no server starts on, and that can be restored to again.
func Restore(ctx context.Context, r io.Reader, data, database string) (_ Manifest, err error) {
	leftovers, err := mustBeEmpty(data)
	if err != nil {
		return Manifest{}, err
	}
	if database != "" {
		if err := mustBeBlank(ctx, database); err != nil {
			return Manifest{}, err
		}
	}
	_, statErr := os.Stat(data)
	unlock, err := lockFolder(data)
	if err != nil {
		return Manifest{}, err
	}
	temporary := filepath.Join(data, restoreFolder)
	defer func() {
		if err != nil { // as it was before
			err = errors.Join(err, os.RemoveAll(temporary), os.Remove(filepath.Join(data, "lock")))
			if errors.Is(statErr, fs.ErrNotExist) {
				err = errors.Join(err, os.Remove(data))
			}
		}
		err = errors.Join(err, unlock())
	}()
	for _, name := range leftovers {
		if err := os.RemoveAll(filepath.Join(data, name)); err != nil {
			return Manifest{}, fmt.Errorf("remove what an earlier restore left: %w", err)
		}
	}
	if err := os.Mkdir(temporary, 0o700); err != nil {
		return Manifest{}, fmt.Errorf("restore into %s: %w", data, err)
	}
	m, err := readBackup(ctx, r, func(name string, r io.Reader) error {
		return restoreFile(filepath.Join(temporary, filepath.FromSlash(name)), r)
	})
	if err != nil {
		return m, err
	}
	// The samples of a server that never got any.
	if err := os.MkdirAll(filepath.Join(temporary, samplesName), 0o700); err != nil {
		return m, fmt.Errorf("restore into %s: %w", data, err)
	}
	if err := lookAt(ctx, filepath.Join(temporary, databaseName), filepath.Join(temporary, samplesName)); err != nil {
		return m, err
	}
	if err := syncFolders(temporary); err != nil {
		return m, fmt.Errorf("restore into %s: %w", data, err)
	}
	// The database last: no server starts on samples without one, so there is nothing between nothing and all. A
	// PostgreSQL database is filled in one transaction.
	names, err := os.ReadDir(temporary)
	if err != nil {
		return m, fmt.Errorf("restore into %s: %w", data, err)
	}
	slices.SortFunc(names, func(a, b fs.DirEntry) int {
		if a.Name() == databaseName {
			return 1
		}
		return -1
	})
	var moved []string
	for _, n := range names {
		from, to := filepath.Join(temporary, n.Name()), filepath.Join(data, n.Name())
		if n.Name() == databaseName && database != "" {
			to = filepath.Join(data, databaseNote)
			err = errors.Join(syncFolder(data), noteDatabase(data, database))
			if err == nil {
				err = sqldb.Fill(ctx, database, from)
			}
		} else {
			err = os.Rename(from, to)
		}
		moved = append(moved, to)
		if err != nil {
			for _, path := range moved {
				err = errors.Join(err, os.RemoveAll(path))
			}
			return m, fmt.Errorf("restore into %s: %w", data, err)
		}
	}
	return m, errors.Join(os.RemoveAll(temporary), syncFolder(data))
}

// mustBeBlank returns an error if there is anything in a PostgreSQL database.
func mustBeBlank(ctx context.Context, url string) error {
	if err := sqldb.CheckURL(url); err != nil {
		return err
	}
	filled, err := sqldb.Check(ctx, url)
	if filled {
		return saba.Errorf(saba.ErrConflict, "the database %s is not empty: nothing was changed; make a new one for what is to be restored", sqldb.Name(url))
	}
	return err
}

// mustBeEmpty returns an error if a data folder holds anything but what a lock or a file system leaves, and
// the names of what is left of a restore that was killed. Until its last step, there is no database.
func mustBeEmpty(data string) (leftovers []string, err error) {
	files, err := os.ReadDir(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("look into %s: %w", data, err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(files, func(f fs.DirEntry) bool { return f.Name() == name })
	}
	killed := has(restoreFolder) && !has(databaseName)
	for _, f := range files {
		switch name := f.Name(); {
		case name == "lock", name == "lost+found":
		case killed && (name == restoreFolder || name == samplesName || name == agentFolder || name == databaseNote):
			leftovers = append(leftovers, name)
		default:
			return nil, saba.Errorf(saba.ErrConflict, "%s is not empty (it holds %s): nothing was changed; restore into a new folder, or move what is there away", data, name)
		}
	}
	return leftovers, nil
}

func restoreFile(to string, r io.Reader) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("restore %s: %w", to, err)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("restore %s: %w", to, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.CopyBuffer(justWriter{f}, r, make([]byte, copyBufferSize)); err != nil {
		return fmt.Errorf("restore %s: %w", to, err)
	}
	return f.Sync()
}

// syncFolders makes the names of all that is below dir durable.
func syncFolders(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncFolder(path)
	})
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
