package tsdb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A damage is why damaged data is not opened.
type damage struct {
	path    string // what is damaged
	what    string // how, as a clause
	without string // what is lost when path is set aside
}

// Error words every refusal to open damaged data.
func (d *damage) Error() string {
	return fmt.Sprintf("%s is damaged: %s; nothing was changed: restore the data folder from a backup, or let saba doctor --repair move it away to go on without %s", d.path, d.what, d.without)
}

func damaged(path, what, without string) error { return &damage{path, what, without} }

// A cut is the unfinished end of a log that a crash left.
type cut struct {
	path       string
	keep, size int64 // bytes
}

// apply shortens the file. The engine's own repair would write the segment anew, and lose
// what it has not written yet when it is stopped meanwhile; a truncation is whole or not at all.
func (c cut) apply() (err error) {
	f, err := os.OpenFile(c.path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cut an unfinished record off: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(c.keep); err != nil {
		return fmt.Errorf("cut an unfinished record off: %w", err)
	}
	return f.Sync()
}

// inspect reads of the logs and the head what the engine would repair by deleting, and changes nothing. It
// returns the ends of logs that a crash cut short, and an error for any other damage. The logs are read whole, at
// the speed of the disk.
func inspect(ctx context.Context, dir string) ([]cut, error) {
	var cuts []cut
	wal, err := inspectWAL(ctx, filepath.Join(dir, walFolder))
	if err != nil {
		return nil, err
	}
	cuts = append(cuts, wal...)
	wbl, err := inspectLog(ctx, filepath.Join(dir, wblFolder), true)
	if err != nil {
		return nil, err
	}
	cuts = append(cuts, wbl...)
	return cuts, inspectHead(filepath.Join(dir, chunksFolder))
}

// inspectWAL inspects the log of all points and its checkpoint, which stands for the segments
// that were deleted.
func inspectWAL(ctx context.Context, dir string) ([]cut, error) {
	newest, err := checkpoint(dir)
	if err != nil {
		return nil, err
	}
	ns, err := segments(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if len(ns) > 0 && ns[0] > newest+1 {
		return nil, damaged(dir, fmt.Sprintf("it begins with segment %08d, and no checkpoint stands for those before", ns[0]),
			"the points of the last hours")
	}
	if newest >= 0 {
		if _, err := inspectLog(ctx, filepath.Join(dir, checkpointName(newest)), false); err != nil {
			return nil, err
		}
	}
	return inspectLog(ctx, dir, true)
}

// inspectLog inspects the segments in dir. torn says whether the end may be unfinished.
func inspectLog(ctx context.Context, dir string, torn bool) ([]cut, error) {
	ns, err := segments(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	const lost = "the points of the last hours"
	for i := 1; i < len(ns); i++ {
		if ns[i] != ns[i-1]+1 {
			return nil, damaged(dir, fmt.Sprintf("segment %08d is missing", ns[i-1]+1), lost)
		}
	}
	found := make([]segment, len(ns))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2) // one alone waits for the disk half of the time
	for i, n := range ns {
		g.Go(func() (err error) {
			found[i], err = inspectSegment(ctx, segmentPath(dir, n))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	// The engine starts a new segment each time, so empty ones may follow the last that was written.
	last := len(ns) - 1
	for last > 0 && found[last].size == 0 {
		last--
	}
	for i, s := range found {
		path := segmentPath(dir, ns[i])
		switch {
		case s.fault == "":
		case torn && i == last && s.torn():
			return []cut{{path, s.keep, s.size}}, nil
		default:
			return nil, damaged(path, fmt.Sprintf("%s at byte %d of %d", s.fault, s.at, s.size), lost)
		}
	}
	return nil, nil
}

// A segment is what the inspection of one file of a log found.
type segment struct {
	size  int64
	keep  int64  // where its last whole record before the fault ends
	fault string // a clause; "" for none
	at    int64  // where the fault is
	more  bool   // a whole fragment of a record follows the fault: it is no unfinished end
	hole  bool   // a block of the disk within the fault holds nothing but zeros: it was never written
	begun bool   // the fault may be a record whose end is missing: it begins as one
}

// torn says whether the fault may be the end that a crash left unfinished.
func (s segment) torn() bool { return (!s.more || s.hole) && (s.keep > 0 || s.begun) }

// The format of a log is described in tsdb/docs/format/wal.md of Prometheus: pages of 32 KiB,
// each filled with fragments of records and zeros after the last that fits.
const (
	pageSize   = 32 << 10
	headerSize = 7    // type and flags, length (2 bytes), checksum (4 bytes)
	typeMask   = 0x07 // the flags above say how the record is compressed
	diskBlock  = 4096
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The types of fragments.
const (
	typePadding = iota // the rest of the page is zeros
	typeFull
	typeFirst
	typeMiddle
	typeLast
)

func inspectSegment(ctx context.Context, path string) (segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return segment{}, err
	}
	defer f.Close()
	s, err := inspectPages(ctx, f)
	if err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// inspectPages reads a segment to its end. The error is of the reader or of ctx, never of the data.
func inspectPages(ctx context.Context, r io.Reader) (segment, error) {
	var s segment
	buf := make([]byte, 32*pageSize)
	open := false // a record has begun and not ended
	for {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		n, err := io.ReadFull(r, buf)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return s, err
		}
		for page := range slices.Chunk(buf[:n], pageSize) {
			if s.fault != "" {
				// Behind the fault only whether anything is readable there counts.
				if _, l := fragment(page); l > 0 {
					s.more = true
				} else {
					s.hole = s.hole || hasHole(page)
				}
			} else {
				open = s.page(page, open)
			}
			s.size += int64(len(page))
		}
		if err != nil { // the end
			break
		}
	}
	if open && s.fault == "" {
		s.fault, s.at, s.begun = "its last record is unfinished", s.size, true
	}
	if s.fault == "" {
		s.keep = s.size
	}
	return s, nil
}

// page inspects one page, which starts at s.size. open says whether a record goes on from the page before.
func (s *segment) page(page []byte, open bool) bool {
	for off := 0; off < len(page); {
		rest := page[off:]
		typ, l := fragment(rest)
		fault := ""
		switch {
		case typ == typePadding && !allZero(rest):
			fault = "a page holds bytes behind its end"
		case typ == typePadding && open:
			fault = "a record breaks off"
		case typ == typePadding:
			s.keep = s.size + int64(len(page)) // zeros are part of the format
			return false
		case l == 0:
			fault = "a record has a wrong checksum or length"
		case (typ == typeMiddle || typ == typeLast) != open, typ > typeLast:
			fault = "the parts of a record are out of order"
		}
		if fault != "" {
			s.fault, s.at = fault, s.size+int64(off)
			s.hole = hasHole(rest)
			s.begun = open || begins(rest, pageSize-off, s.hole)
			// The length may be right where the content is not.
			if len(rest) >= headerSize {
				if next := headerSize + int(binary.BigEndian.Uint16(rest[1:])); next < len(rest) {
					_, l := fragment(rest[next:])
					s.more = l > 0
				}
			}
			return false
		}
		off += l
		if open = typ == typeFirst || typ == typeMiddle; !open {
			s.keep = s.size + int64(off)
		}
	}
	return open
}

// fragment returns the type of the fragment at the start of b, and its length with its header: 0
// when b holds no whole fragment.
func fragment(b []byte) (typ byte, length int) {
	typ = b[0] & typeMask
	if typ == typePadding || len(b) < headerSize {
		return typ, 0
	}
	end := headerSize + int(binary.BigEndian.Uint16(b[1:]))
	if end > len(b) || crc32.Checksum(b[headerSize:end], castagnoli) != binary.BigEndian.Uint32(b[3:]) {
		return typ, 0
	}
	return typ, end
}

// begins says whether b, the rest of a page that has room for so many bytes, begins like a record of which
// a part is missing: the file ends in it, or hole says that some of it was never written. A
// log without a whole record that does not even begin like this is none of ours, or was overwritten.
func begins(b []byte, room int, hole bool) bool {
	const flags = 0x18 // compressed by snappy, by zstd
	if typ := b[0] & typeMask; typ != typeFull && typ != typeFirst || b[0]&^(typeMask|flags) != 0 {
		return false
	}
	if len(b) < headerSize {
		return true
	}
	end := headerSize + int(binary.BigEndian.Uint16(b[1:]))
	return end <= room && (end > len(b) || hole)
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// hasHole says whether b has a block of the disk that is all zeros, b being the end of a page. After a
// power cut the blocks that were written last may be there in any order; those that are
// missing read as zeros.
func hasHole(b []byte) bool {
	for len(b) >= diskBlock {
		if allZero(b[len(b)-diskBlock:]) {
			return true
		}
		b = b[:len(b)-diskBlock]
	}
	return false
}

// inspectHead inspects the files to which the engine moves full chunks of its head. It discards
// what it cannot read there and takes it from the logs, which hold it all, but it fails halfway when a
// file is missing or is no such file.
func inspectHead(dir string) error {
	ns, err := segments(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	const lost = "it, which loses nothing: the logs hold the same points"
	for i, n := range ns {
		if i > 0 && n != ns[i-1]+1 {
			return damaged(dir, fmt.Sprintf("file %06d is missing", ns[i-1]+1), lost)
		}
		path := filepath.Join(dir, fmt.Sprintf("%06d", n))
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		head := make([]byte, chunks.HeadChunkFileHeaderSize)
		_, err = io.ReadFull(f, head)
		f.Close()
		if i == len(ns)-1 && (err != nil || binary.BigEndian.Uint32(head) == 0) && n > 0 {
			continue // begun right before a crash: the engine deletes it
		}
		if err != nil || binary.BigEndian.Uint32(head) != chunks.MagicHeadChunks {
			return damaged(dir, fmt.Sprintf("file %06d does not begin as it must", n), lost)
		}
	}
	return nil
}

// A broken block cannot be opened, or read.
type broken struct {
	name string
	err  error
}

// inspectBlocks opens and closes every block, and reads its index whole, but where it still has the stamp by which it is known. It returns
// those that are damaged, and the stamps of the indexes that are right, and changes nothing; the error is of the disk or of ctx. One that is
// damaged is no harm when another one was made from it: a crash came between the making and the deletion.
//
// Of the chunks it reads what the engine reads at its start: the heads of their files. A damaged
// chunk is found by the reader that meets it, and costs that reader an error; or by Examine.
func inspectBlocks(ctx context.Context, dir string, known map[string]indexStamp) (damages []broken, right map[string]indexStamp, err error) {
	names, err := blocks(dir)
	if err != nil {
		return nil, nil, err
	}
	right = map[string]indexStamp{}
	replaced := map[string]bool{}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		b, err := tsdb.OpenBlock(nil, filepath.Join(dir, name), nil, nil)
		if outsideOfData(err) {
			return nil, nil, fmt.Errorf("block %s cannot be read: %w; nothing was changed: look at its permissions and at the disk", filepath.Join(dir, name), err)
		}
		if err != nil {
			damages = append(damages, broken{name, err})
			continue
		}
		if err := b.Close(); err != nil {
			return nil, nil, fmt.Errorf("close %s: %w", filepath.Join(dir, name), err)
		}
		index := filepath.Join(dir, name, "index")
		stamp, err := stampOf(index)
		if err != nil {
			return nil, nil, err
		}
		if known[name] != stamp {
			found, err := inspectIndex(ctx, index)
			if err != nil {
				return nil, nil, err
			}
			if found != "" {
				damages = append(damages, broken{name, errors.New("index: " + found)})
				continue
			}
		}
		right[name] = stamp
		for _, p := range b.Meta().Compaction.Parents {
			replaced[p.ULID.String()] = true
		}
	}
	// Without a meta.json the engine does not take it for a block, and passes over it.
	return slices.DeleteFunc(damages, func(b broken) bool { return replaced[b.name] }), right, nil
}

// outsideOfData says whether err has its cause outside of the files' content, as a missing permission or a disk that fails: what
// cannot be read now may be whole.
func outsideOfData(err error) bool {
	var no syscall.Errno
	return errors.As(err, &no) && no != syscall.ENOENT && no != syscall.ENOTDIR && no != syscall.EISDIR && no != syscall.EINVAL
}

// wrongChunk finds in an error of the engine where the chunk of a block lies that could not be read, and the
// checksum that is kept with it. The block that the engine names may be no block of ours, but zeros.
var wrongChunk = regexp.MustCompile(`populate chunk (\d+) from block .* expected:([0-9a-f]+)`)

// explainChunk gives the error of a reader that met a damaged chunk of a block in dir the words of damaged:
// the engine names neither the file nor what to do. Other errors, and nil, it returns as they are.
func explainChunk(dir string, err error) error {
	if err == nil {
		return nil
	}
	found := wrongChunk.FindStringSubmatch(err.Error())
	if found == nil {
		return err
	}
	ref, _ := strconv.ParseUint(found[1], 10, 64)
	sum, _ := strconv.ParseUint(found[2], 16, 32)
	file, at := chunks.BlockChunkRef(ref).Unpack()
	name := filepath.Join("chunks", fmt.Sprintf("%06d", file+1))
	files, _ := os.ReadDir(dir) // what cannot be looked into is not named
	for _, f := range files {
		block := filepath.Join(dir, f.Name())
		if kept, ok := chunkSum(filepath.Join(block, name), int64(at)); isBlock(f.Name()) && ok && uint64(kept) == sum {
			return fmt.Errorf("%s is damaged: the points at byte %d of %s cannot be read (%w); restore the data folder from a backup, or stop saba and let saba doctor --repair move it away to go on without the points of its time",
				block, at, name, err)
		}
	}
	return err
}

// chunkSum returns the checksum that is kept with the chunk at a place in a file of chunks; ok is false where
// there is none.
func chunkSum(path string, at int64) (sum uint32, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	head := make([]byte, binary.MaxVarintLen32)
	if _, err := f.ReadAt(head, at); err != nil {
		return 0, false
	}
	length, n := binary.Uvarint(head) // of the points; an encoding stands before them
	if n <= 0 || length > math.MaxInt32 {
		return 0, false
	}
	kept := make([]byte, crc32.Size)
	if _, err := f.ReadAt(kept, at+int64(n)+1+int64(length)); err != nil {
		return 0, false
	}
	return binary.BigEndian.Uint32(kept), true
}

// inspectIndex reads the parts of an index that the engine trusts until a query meets them: the
// entries of the series and the lists of postings. What is wrong is returned as a clause, "" for
// nothing; the rest was checked when the block was opened. The format is described in
// tsdb/docs/format/index.md of Prometheus.
func inspectIndex(ctx context.Context, path string) (wrong string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	// As the engine reads it: mapped, without a copy.
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	wrong, err = inspectEntries(ctx, b)
	return wrong, errors.Join(err, unix.Munmap(b))
}

// inspectEntries is inspectIndex for an index in memory. The error is that of ctx alone.
func inspectEntries(ctx context.Context, b []byte) (wrong string, err error) {
	const tableSize = 6*8 + crc32.Size // where the sections begin; its checksum was checked
	end := len(b) - tableSize
	if end < 0 {
		return "it ends too early", nil
	}
	begin := func(i int) int { return int(min(binary.BigEndian.Uint64(b[end+8*i:]), uint64(end))) }
	for _, section := range []struct {
		name       string
		begin, end int
		align      int
		// length reads the length of the entry at the start of b, and the bytes that it takes itself; 0 for none
		length func(b []byte) (length uint64, size int)
	}{
		{"the entry of a series", begin(1), begin(2), 16, binary.Uvarint},
		{"a list of series", begin(4), begin(5), 4, func(b []byte) (uint64, int) {
			if len(b) < 4 {
				return 0, 0
			}
			return uint64(binary.BigEndian.Uint32(b)), 4
		}},
	} {
		for at, n := section.begin, 0; at < section.end; n++ {
			if n%4096 == 0 && ctx.Err() != nil {
				return "", ctx.Err()
			}
			next := min(at+-at&(section.align-1), section.end)
			if !allZero(b[at:next]) {
				return fmt.Sprintf("there are bytes between two entries, at byte %d", at), nil
			}
			if at = next; at == section.end {
				break
			}
			entry := b[at:section.end]
			length, size := section.length(entry)
			if size <= 0 || length > uint64(len(entry)) || size+int(length)+crc32.Size > len(entry) {
				return fmt.Sprintf("%s has a wrong length, at byte %d", section.name, at), nil
			}
			content := entry[size : size+int(length)]
			if crc32.Checksum(content, castagnoli) != binary.BigEndian.Uint32(entry[size+int(length):]) {
				return fmt.Sprintf("%s has a wrong checksum, at byte %d", section.name, at), nil
			}
			at += size + int(length) + crc32.Size
		}
	}
	return "", nil
}

// Holds says whether there is anything in the samples at dir: a block, or a log that was written to. A
// folder that is missing holds nothing. What is no folder is an error that says what to do.
func Holds(dir string) (bool, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look into the folder of the samples: %w", err)
	case !info.IsDir():
		return false, fmt.Errorf("%s is not a folder: move it away, or choose another data folder", dir)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("look into the folder of the samples: %w", err)
	}
	for _, f := range files {
		if f.IsDir() && isBlock(f.Name()) {
			return true, nil
		}
	}
	for _, folder := range []string{walFolder, wblFolder} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, fmt.Errorf("look into the folder of the samples: %w", err)
		}
		for _, e := range entries {
			// The engine begins an empty file at each start.
			if info, err := e.Info(); err == nil && (info.IsDir() || info.Size() > 0) {
				return true, nil
			}
		}
	}
	return false, nil
}

// isBlock says whether a folder's name is that of a block: a ULID, 26 characters in base 32.
func isBlock(name string) bool {
	return len(name) == 26 && name[0] <= '7' &&
		strings.Trim(strings.ToUpper(name), "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ""
}
