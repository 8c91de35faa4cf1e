// Package follow reads what is new in files that programs write to: log files, over rotation (by another name, a copy, a cut, packed), restarts, and files
// that come and go. It keeps nothing itself: a State goes in, and one comes out. Start with Reader.Follow; which files there are is in files.go.
package follow

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A State is what a run leaves to the next one: how far each file was read.
type State struct {
	Positions []Position `json:"positions"`
}

// A Position is how far a file was read. The place is known by what stands before it as well as
// by the file: files are copied and cut, and their numbers go to others.
type Position struct {
	Path    string `json:"path"`
	Device  uint64 `json:"device"`
	Inode   uint64 `json:"inode"`
	Born    int64  `json:"born"`              // of the file, in Unix nanoseconds; 0 when it is not known
	Offset  int64  `json:"offset"`            // bytes
	Before  uint64 `json:"before"`            // sum of what stands before Offset
	Read    int64  `json:"read"`              // Unix seconds; when
	Rotated int64  `json:"rotated,omitempty"` // Unix seconds; when another file was found under Path
}

const (
	MaxLine   = 256 << 10 // bytes; what is longer is looked at in parts of that length
	sumLength = 256       // bytes before a position
	unread    = -1        // the Offset in a file that could not be read yet
	// packing is for how long a rotated file is looked for that is neither under its name nor another:
	// it may be about to be copied or packed.
	packing = 10 * time.Minute
	// lateWrites is for how long a rotated file is read on: programs write to it until they are told.
	lateWrites = time.Hour
	// longGone is after how long a file that is not there is forgotten.
	longGone = 7 * 24 * time.Hour
	// maxRotated bounds the files that are searched for a position by what they hold.
	maxRotated = 8
)

// A part is a file from some place on.
type part struct {
	path   string
	from   Position
	whole  bool // nothing will be added: what stands after the last newline is a line too
	zipped bool
}

// A Reader reads what is new. All fields but the bools are required.
type Reader struct {
	// Line is called for each line, without what ends it; it keeps none of it. A line that is longer than MaxLine comes in parts, of which all but the last have more. Files
	// that end without a newline are read up to their last one. False stops: what comes after it is for the next run.
	Line    func(path string, line []byte, more bool) bool
	Problem func(error) // what could not be read; the rest is
	Now     time.Time
	Whole   bool // files that are read for the first time are read whole; else they are, but in the first run, which only notes where they end
	Last    bool // there is no next run: what stands after the last newline is a line too

	buffer  *bufio.Reader // one for all files
	stopped bool
}

// Follow reads what is new in files since before, which is known unless this is the first run, and returns where it stopped.
func (r *Reader) Follow(ctx context.Context, paths []string, before State, known bool) State {
	now := r.Now
	p := before.plan(ctx, paths, now, r.Problem)
	for _, path := range p.fresh {
		fresh := part{path: path}
		if (!known || p.first[path]) && !r.Whole {
			var err error
			if fresh.from, err = lineEnd(path); err != nil {
				r.Problem(err)
				continue
			}
		}
		p.parts = append(p.parts, fresh)
	}
	after := State{p.kept}
	for _, part := range append(p.ends, p.parts...) {
		at, err := r.read(ctx, part)
		if err != nil {
			r.Problem(err)
		}
		at.Read = now.Unix()
		late := at.Rotated != 0 && now.Unix()-at.Rotated > int64(lateWrites/time.Second)
		if at.Path != "" && (!part.zipped || r.stopped) && !late {
			after.Positions = append(after.Positions, at)
		}
	}
	return after
}

// A plan is what to read in a run.
type plan struct {
	ends  []part          // of files that were rotated: what was written to them before and after
	parts []part          // of files that go on as they were, under the same name or another that is read
	fresh []string        // files that were not read yet
	first map[string]bool // those of fresh that were there before, but could not be read
	kept  []Position      // in files that cannot be read now
}

// All reads a file from its beginning to its end.
func (r *Reader) All(ctx context.Context, path string) {
	if _, err := r.read(ctx, part{path: path}); err != nil {
		r.Problem(err)
	}
}

// plan returns what to read of the files under paths.
func (s State) plan(ctx context.Context, paths []string, now time.Time, problem func(error)) plan {
	p := plan{first: map[string]bool{}}
	readable := make(map[string]bool, len(paths))
	index, claimed := s.index(), map[int]bool{}
	for _, path := range paths {
		i, err := s.continuedBy(path, index)
		switch readable[path] = err == nil; {
		case err != nil:
			problem(err)
			if !slices.ContainsFunc(s.Positions, func(at Position) bool { return at.Path == path }) {
				p.kept = append(p.kept, Position{Path: path, Offset: unread})
			}
		case i < 0:
			p.fresh = append(p.fresh, path)
		default:
			claimed[i] = true
			p.parts = append(p.parts, part{path: path, from: s.Positions[i].at(path)})
		}
	}
	known := map[fileID]bool{}
	for _, at := range s.Positions {
		known[at.file()] = true
	}
	for _, path := range p.fresh {
		if info, err := os.Stat(path); err == nil {
			known[identity(info)] = true
		}
	}
	for i, at := range s.Positions {
		can, there := readable[at.Path]
		switch {
		case claimed[i]:
		case there && !can:
			p.kept = append(p.kept, at)
		case there && at.Offset == unread:
			p.first[at.Path] = true
		default:
			p.trace(ctx, at, there, known, now)
		}
	}
	return p
}

// trace adds to the plan what is to be done about a position whose file is not under its name any
// more. replaced says whether another one is.
func (p *plan) trace(ctx context.Context, at Position, replaced bool, known map[fileID]bool, now time.Time) {
	missed := replaced && at.Rotated == 0
	if missed {
		at.Rotated = now.Unix()
	}
	lately := replaced && now.Unix()-at.Rotated <= int64(packing/time.Second)
	end, found := findRotated(ctx, at, lately)
	switch {
	case found:
		end.from.Rotated = cmp.Or(at.Rotated, now.Unix())
		p.ends = append(p.ends, end)
		p.fresh = slices.DeleteFunc(p.fresh, func(path string) bool { return path == end.path })
	case lately, !replaced && now.Unix()-max(at.Read, at.Rotated) < int64(longGone/time.Second): // it may come back
		p.kept = append(p.kept, at)
	}
	if current, err := os.Stat(at.Path); missed && err == nil && identity(current) != at.file() { // it was not copied and cut
		if found {
			if info, err := os.Stat(end.path); err == nil {
				known[identity(info)] = true
			}
		}
		p.between(at, known, now)
	}
}

// maxBetween bounds the files that came and were rotated away between two runs.
const maxBetween = 100

// between adds to the plan the files that were under a position's name after its own, and were rotated away before anybody read them: rotations of its name that were made after its
// own file and written to since that was read, oldest first. They are read as the ends of rotated files are. Where the file system does not keep when files were made, there are none.
func (p *plan) between(at Position, known map[fileID]bool, now time.Time) {
	folder, name := filepath.Split(at.Path)
	entries, err := os.ReadDir(filepath.Clean(folder + "."))
	if err != nil {
		return
	}
	type missed struct {
		path    string
		written int64
		from    Position
	}
	var all []missed
	for _, e := range entries {
		if !rotationOf(name, e.Name()) || packed(e.Name()) {
			continue
		}
		path := folder + e.Name()
		if info, err := e.Info(); err != nil || known[identity(info)] || info.ModTime().Unix() < at.Read || slices.Contains(p.fresh, path) {
			continue
		}
		f, id, _, err := openLog(path)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		if err := errors.Join(err, f.Close()); err != nil || at.Born == 0 || id.Born <= at.Born {
			continue
		}
		id.Path, id.Before, id.Rotated, id.Read = at.Path, sumOf(nil), now.Unix(), now.Unix()
		known[id.file()] = true
		all = append(all, missed{path, info.ModTime().UnixNano(), id})
	}
	slices.SortFunc(all, func(a, b missed) int { return cmp.Compare(a.written, b.written) })
	for _, m := range all[:min(len(all), maxBetween)] {
		p.ends = append(p.ends, part{path: m.path, from: m.from})
	}
}

// rotationOf says whether a file's name is what rotation makes of another: app.log.1, app.log-20260102 or app-20260102.log of app.log.
func rotationOf(name, other string) bool {
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	for _, behind := range []string{name, stem} {
		rest, ok := strings.CutPrefix(other, behind)
		if !ok {
			continue
		}
		if behind == stem {
			if rest, ok = strings.CutSuffix(rest, ext); !ok || ext == "" {
				continue
			}
		}
		if len(rest) > 1 && (rest[0] == '.' || rest[0] == '-') && '0' <= rest[1] && rest[1] <= '9' {
			return true
		}
	}
	return false
}

// at returns the same place in a file that is read under path.
func (p Position) at(path string) Position {
	p.Path, p.Rotated = path, 0
	return p
}

func (p Position) file() fileID { return fileID{p.Device, p.Inode} }

// index returns which positions are in which file: those of files that are read first.
func (s State) index() map[fileID][]int {
	index := map[fileID][]int{}
	for _, rotated := range []bool{false, true} {
		for i, p := range s.Positions {
			if (p.Rotated != 0) == rotated {
				index[p.file()] = append(index[p.file()], i)
			}
		}
	}
	return index
}

// continuedBy returns which position the file at path goes on from; -1 when it is none.
func (s State) continuedBy(path string, index map[fileID][]int) (int, error) {
	f, id, size, err := openLog(path)
	if err != nil {
		return -1, err
	}
	defer f.Close()
	for _, i := range index[id.file()] {
		if ok, err := s.Positions[i].continuedIn(f, id, size); ok || err != nil {
			return i, err
		}
	}
	return -1, nil
}

// openLog opens a file that can be read to its end, and says which one it is.
func openLog(path string) (*os.File, Position, int64, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return nil, Position{}, 0, err
	}
	id := identity(info)
	return f, Position{Path: path, Device: id.device, Inode: id.inode, Born: born(f)}, info.Size(), nil
}

// continuedIn says whether p is a place in f, which is the file that id tells.
func (p Position) continuedIn(f io.ReaderAt, id Position, size int64) (bool, error) {
	if p.Offset < 0 || size < p.Offset || p.file() == id.file() && p.Born != id.Born {
		return false, nil
	}
	sum, err := sumBefore(f, p.Offset)
	return sum == p.Before, err
}

// sumBefore returns a sum of what stands before a place in a file.
func sumBefore(f io.ReaderAt, offset int64) (uint64, error) {
	b := make([]byte, min(offset, sumLength))
	if _, err := f.ReadAt(b, offset-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return sumOf(b), nil
}

func sumOf(b []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64()
}

// findRotated returns where p goes on, among the files beside it: under another name, or, if
// byContent, in one that holds the same as its file did, packed perhaps. A file that was not written
// to since p was read has nothing new.
func findRotated(ctx context.Context, p Position, byContent bool) (part, bool) {
	folder, name := filepath.Split(p.Path)
	entries, err := os.ReadDir(filepath.Clean(folder + "."))
	if err != nil {
		return part{}, false
	}
	stem := strings.TrimSuffix(name, filepath.Ext(name)) // app of app.log: app.log.1, app-20260102.log
	type candidate struct {
		path string
		info fs.FileInfo
	}
	var candidates []candidate
	for _, e := range entries {
		if e.Name() == name || !strings.HasPrefix(e.Name(), stem) {
			continue
		}
		path := folder + e.Name()
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if identity(info) == p.file() {
			if found := (part{path: path, from: p}); found.canOpen(ctx) {
				return found, true
			}
		}
		if info.ModTime().Unix() >= p.Read-1 {
			candidates = append(candidates, candidate{path, info})
		}
	}
	if !byContent || p.Offset <= 0 {
		return part{}, false
	}
	slices.SortFunc(candidates, func(a, b candidate) int { return cmp.Compare(b.info.ModTime().UnixNano(), a.info.ModTime().UnixNano()) })
	for _, c := range candidates[:min(len(candidates), maxRotated)] {
		found := part{path: c.path, from: p, whole: true, zipped: strings.HasSuffix(c.path, ".gz")}
		if found.canOpen(ctx) {
			return found, true
		}
	}
	return part{}, false
}

// canOpen says whether a part can be read, and holds what was read of it.
func (p part) canOpen(ctx context.Context) bool {
	s, err := p.open(ctx)
	return err == nil && s.Close() == nil
}

// A stream is an open file, at a place.
type stream struct {
	io.Reader
	file *os.File
	id   Position // of the file, at the place
	size int64    // of what may be read, for a file that is not packed
}

func (s stream) Close() error { return s.file.Close() }

// errOther says that a file does not hold what was read of it.
var errOther = errors.New("it is another file now")

// open opens a part at its place. It returns errOther if that is not there.
func (p part) open(ctx context.Context) (stream, error) {
	f, id, size, err := openLog(p.path)
	if err != nil {
		return stream{}, err
	}
	s := stream{Reader: f, file: f, id: id, size: size}
	s.id.Offset, s.id.Before = p.from.Offset, p.from.Before
	if err := s.seek(ctx, p); err != nil {
		return stream{}, errors.Join(err, f.Close())
	}
	return s, nil
}

func (s *stream) seek(ctx context.Context, p part) error {
	if !p.zipped {
		if ok, err := p.from.continuedIn(s.file, s.id, s.size); p.from.Path != "" && (!ok || err != nil) {
			return cmp.Or(err, errOther)
		}
		s.Reader = io.NewSectionReader(s.file, p.from.Offset, s.size-p.from.Offset) // not what is added meanwhile
		return nil
	}
	z, err := gzip.NewReader(bufio.NewReader(s.file))
	if err != nil {
		return err
	}
	for left := p.from.Offset - sumLength; left > 0; left -= MaxLine {
		if _, err := io.CopyN(io.Discard, z, min(left, MaxLine)); err != nil || ctx.Err() != nil {
			return cmp.Or(ctx.Err(), errOther)
		}
	}
	b := make([]byte, min(p.from.Offset, sumLength))
	if _, err := io.ReadFull(z, b); err != nil || sumOf(b) != p.from.Before {
		return errOther
	}
	s.Reader = z
	return nil
}

// read looks at the lines of a part, and returns where it stopped: behind the last newline, and
// before what is left when ctx ends.
func (r *Reader) read(ctx context.Context, p part) (Position, error) {
	s, err := p.open(ctx)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errOther) { // rotated this very moment
		return p.from, nil
	}
	if err != nil {
		return p.from, err
	}
	defer s.Close()
	at := s.id
	at.Rotated = p.from.Rotated
	if at.Rotated != 0 {
		at.Path = p.from.Path
	}
	if p.from.Path != "" && s.size == at.Offset && !p.zipped { // as most often
		return at, nil
	}
	if r.buffer == nil {
		r.buffer = bufio.NewReaderSize(nil, MaxLine)
	}
	r.buffer.Reset(s)
	var end []byte // of what was read of a packed file, which cannot be looked at again
	for err == nil && !r.stopped {
		if ctx.Err() != nil {
			err = fmt.Errorf("%s is not read to its end, as that takes too long", p.path)
			break
		}
		var line []byte
		line, err = r.buffer.ReadSlice('\n')
		more := errors.Is(err, bufio.ErrBufferFull)
		if more {
			err = nil // a part of a line
		}
		if err == nil || p.whole || r.Last {
			at.Offset += int64(len(line))
			if p.zipped {
				end = append(end, line...)
				end = end[max(0, len(end)-sumLength):]
			}
			if line = trimEnd(line); len(line) > 0 || err == nil {
				r.stopped = !r.Line(p.path, line, more)
			}
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if p.zipped && r.stopped {
		if was := p.from; at.Offset > was.Offset+sumLength || was.Offset == 0 {
			was.Offset, was.Before = at.Offset, sumOf(end)
			return was, err
		}
		return p.from, err // a line or two come again
	}
	if !p.zipped {
		var sumErr error
		at.Before, sumErr = sumBefore(s.file, at.Offset)
		err = errors.Join(err, sumErr)
	}
	return at, err
}

// trimEnd returns a line without what ends it.
func trimEnd(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

// lineEnd returns the place behind the last newline of a file. In a file that ends with more than
// MaxLine bytes without one it is the end.
func lineEnd(path string) (Position, error) {
	f, p, size, err := openLog(path)
	if err != nil {
		return p, err
	}
	defer f.Close()
	p.Offset = size
	b := make([]byte, min(size, MaxLine))
	if _, err := f.ReadAt(b, size-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return p, err
	}
	if i := strings.LastIndexByte(string(b), '\n'); i >= 0 || size <= MaxLine {
		p.Offset = size - int64(len(b)) + int64(i) + 1
	}
	p.Before, err = sumBefore(f, p.Offset)
	return p, err
}
