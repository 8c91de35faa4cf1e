package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// An idFolder is the folder in which the agent keeps who it is. An empty one keeps nothing: each start is the first.
type idFolder string

// The files of an idFolder.
const (
	// idFile is where the host's id is kept, as other agents of the protocol keep it: the id
	// alone, without a newline.
	idFile = "id"
	// copyFile is a second copy of the id, with the machine that it belongs to.
	copyFile = "host.json"
	// identifierFile holds the newest custom identifier that the cloud gave: its metadata
	// service may not answer the next time, and unknown is not the same as changed.
	identifierFile = "custom-identifier"
	// askedFile is there from before a registration until its id is kept, and holds the Unix second of the
	// first try: when the answer was lost, or the agent was, the server may have made the host.
	askedFile = "registering"
)

// openIDFolder makes root if it is missing and proves that it can be written: an id that
// cannot be kept would register a new host at every start. Where there is an id already, a folder that cannot be
// written any more, as on a disk that the kernel has made read-only, is only worth a note.
func openIDFolder(root string) (d idFolder, note error, err error) {
	d = idFolder(root)
	if root == "" {
		return d, nil, nil
	}
	err = os.MkdirAll(root, 0o755)
	if err != nil {
		err = fmt.Errorf("the agent's folder cannot be made (choose another with --root, or make it writable): %w", err)
	} else if f, probeErr := os.CreateTemp(root, ".probe-"); probeErr != nil {
		err = fmt.Errorf("the agent's folder cannot be written (choose another with --root, or make it writable): %w", probeErr)
	} else {
		return d, nil, errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if id, idErr := d.read(idFile); idErr == nil && id != "" {
		return d, err, nil
	}
	return d, nil, err
}

func (d idFolder) path(name string) string { return filepath.Join(string(d), name) }

// A hostCopy is the content of copyFile.
type hostCopy struct {
	ID      string `json:"id"`
	Machine string `json:"machine,omitempty"` // Options.Machine when it was written
}

// An identity is what the folder says about the host that this machine is.
type identity struct {
	id string // "" when the folder knows none: this machine is new, unless lost is set
	// note, unless it is "", is a sentence for the log about how the id was found.
	note string
	// lost says that there was an id and it cannot be read any more. A new host may not be
	// created then: it would be a ghost's double.
	lost string // a sentence that says what to do; "" when nothing is lost
	// guess says that the id comes from the copy although somebody may have deleted the file on purpose:
	// it counts only if the server has such a host.
	guess bool
}

// identity reads who this machine is.
func (d idFolder) identity(machine string) (identity, error) {
	if d == "" {
		return identity{}, nil
	}
	id, idErr := d.read(idFile)
	if idErr != nil && !errors.Is(idErr, errNoID) {
		return identity{}, idErr
	}
	second, err := d.readCopy()
	if err != nil {
		return identity{}, err
	}
	elsewhere := second.Machine != "" && machine != "" && second.Machine != machine
	_, statErr := os.Stat(d.path(idFile))
	switch {
	case id != "" && second.ID == id && elsewhere:
		return identity{note: fmt.Sprintf("the id in %s was given to another machine, whose disk or image this one was copied from: this machine registers as a host of its own", d.path(idFile))}, nil
	case id != "":
		return identity{id: id}, nil
	case second.ID != "" && !elsewhere && statErr == nil:
		return identity{id: second.ID, note: fmt.Sprintf("%s does not hold an id: the host's id was taken from its copy, %s", d.path(idFile), d.path(copyFile))}, nil
	case second.ID != "" && second.Machine != "" && !elsewhere && machine != "":
		return identity{id: second.ID, guess: true, note: fmt.Sprintf("%s is gone: the host's id was taken from its copy, %s", d.path(idFile), d.path(copyFile))}, nil
	case statErr == nil:
		return identity{lost: fmt.Sprintf("%s does not hold an id, so nothing is sent: write the id of this machine's host into it, or delete it if this machine shall register as a new host", d.path(idFile))}, nil
	}
	return identity{}, nil
}

// keep keeps the id of the host, twice.
func (d idFolder) keep(id, machine string) error {
	if d == "" {
		return nil
	}
	b, err := json.Marshal(hostCopy{id, machine})
	if err != nil {
		return err
	}
	old, err := d.read(idFile)
	kept := err == nil && old == id
	// The copy first: with both files there, one is whole at any moment.
	if old, err := d.readCopy(); err != nil || old != (hostCopy{id, machine}) {
		if err := d.write(copyFile, string(b)); err != nil && !kept {
			return err
		}
	}
	if kept {
		return nil
	}
	return d.write(idFile, id)
}

// Forget removes the host's id from the agent's folder root, as after a retirement: the next start registers
// a new host.
func Forget(root string) error {
	d := idFolder(root)
	var errs []error
	for _, name := range []string{askedFile, copyFile, idFile} {
		if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// asks notes at now that a registration begins. It returns when the first one began that has not ended
// with an id; the zero time when there is none.
func (d idFolder) asks(now time.Time) (before time.Time, err error) {
	if d == "" {
		return time.Time{}, nil
	}
	b, err := os.ReadFile(d.path(askedFile))
	if err == nil {
		if sec, err := strconv.ParseInt(string(b), 10, 64); err == nil {
			return time.Unix(sec, 0), nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, err
	}
	return time.Time{}, d.write(askedFile, strconv.FormatInt(now.Unix(), 10))
}

// asked notes that no registration is under way.
func (d idFolder) asked() error {
	if d == "" {
		return nil
	}
	if err := os.Remove(d.path(askedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// errNoID means that a file is there and holds no id.
var errNoID = errors.New("does not hold an id")

// read returns the content of a file without the newlines at its end; "" when there is none.
// The error matches errNoID when the file holds nothing or something else.
func (d idFolder) read(name string) (string, error) {
	if d == "" {
		return "", nil
	}
	b, err := os.ReadFile(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	s := strings.TrimRight(string(b), "\r\n")
	if !validID(s) {
		return "", fmt.Errorf("%s %w", d.path(name), errNoID)
	}
	return s, nil
}

// validID says whether s may be an id or a custom identifier. Ids stand in addresses.
func validID(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsAny(s, " \t\r\n\x00/?#%")
}

// readCopy returns the zero hostCopy when there is none, or when it is damaged.
func (d idFolder) readCopy() (hostCopy, error) {
	b, err := os.ReadFile(d.path(copyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return hostCopy{}, nil
	}
	if err != nil {
		return hostCopy{}, err
	}
	var c hostCopy
	if json.Unmarshal(b, &c) != nil || !validID(c.ID) {
		return hostCopy{}, nil
	}
	return c, nil
}

// write replaces a file by one that holds content, so that a crash leaves the old or the new
// one whole.
func (d idFolder) write(name, content string) error {
	if d == "" {
		return nil
	}
	return replaceFile(d.path(name), []byte(content), 0o644)
}

// replaceFile replaces the file at path by one that holds content, so that a crash leaves the old or the
// new one whole.
func replaceFile(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode) // an id is no secret: status tools of other users read it
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	// The rename is on disk when the folder is.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil // renamed, which is what matters
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// MachineFingerprint returns what tells this machine from others that were made from the same image,
// read below root ("/"): a digest of its machine id, which by its manual, machine-id(5), is not to be shown
// around. It is "" when there is none, as in most containers.
func MachineFingerprint(root fs.FS) string {
	b, err := fs.ReadFile(root, "etc/machine-id")
	id := strings.TrimSpace(string(b))
	if err != nil || len(id) != 32 {
		return ""
	}
	sum := sha256.Sum256([]byte("saba-agent " + id))
	return hex.EncodeToString(sum[:8])
}
