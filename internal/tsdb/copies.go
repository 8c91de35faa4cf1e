package tsdb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/prometheus/tsdb/chunks"
)

// examineCopies reads what stands beside the logs in dir to make a start fast: the full chunks of the head. All that they hold is in the
// logs too. So no damage here loses points: the engine passes over it and replays the logs. inspectHead has found that the files begin as they
// must. The error is of the disk or of ctx.
func examineCopies(ctx context.Context, dir string) ([]Finding, error) {
	dir = filepath.Join(dir, chunksFolder)
	ns, err := segments(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, n := range ns {
		path := filepath.Join(dir, fmt.Sprintf("%06d", n))
		at, wrong, err := inspectHeadChunks(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if wrong != "" { // the engine looks no further either
			return []Finding{{Path: path, What: fmt.Sprintf(
				"%s, at byte %d; it holds copies of points of the last hours, and the next start deletes it with those behind it and reads the logs, which hold the same points", wrong, at)}}, nil
		}
	}
	return nil, nil
}

// inspectHeadChunks reads a file of full chunks of the head as the engine does at its start. wrong is a clause, "" for nothing. The format is
// described in tsdb/docs/format/head_chunks.md of Prometheus.
func inspectHeadChunks(ctx context.Context, path string) (at int64, wrong string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	if _, err := r.Discard(chunks.HeadChunkFileHeaderSize); errors.Is(err, io.EOF) {
		return 0, "", nil // begun right before a crash
	} else if err != nil {
		return 0, "", err
	}
	const fixed = chunks.SeriesRefSize + 2*chunks.MintMaxtSize // all zeros behind the last chunk
	var chunk []byte
	for at = chunks.HeadChunkFileHeaderSize; ; at += int64(len(chunk)) {
		if err := ctx.Err(); err != nil {
			return at, "", err
		}
		head, err := r.Peek(chunks.MaxHeadChunkMetaSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return at, "", err
		}
		if allZero(head[:min(len(head), fixed)]) {
			return at, "", nil
		}
		const short = "its last chunk is not whole: saba or the machine stopped while writing it"
		if len(head) < chunks.MaxHeadChunkMetaSize {
			return at, short, nil
		}
		length, n := binary.Uvarint(head[fixed+chunks.ChunkEncodingSize:])
		if n <= 0 || length > chunks.DefaultWriteBufferSize {
			return at, "a chunk has a wrong length", nil
		}
		size := fixed + chunks.ChunkEncodingSize + n + int(length) + chunks.CRCSize
		chunk = slices.Grow(chunk[:0], size)[:size]
		if _, err := io.ReadFull(r, chunk); errors.Is(err, io.ErrUnexpectedEOF) {
			return at, short, nil
		} else if err != nil {
			return at, "", err
		}
		content, sum := chunk[:size-chunks.CRCSize], chunk[size-chunks.CRCSize:]
		if !bytes.Equal(sum, binary.BigEndian.AppendUint32(nil, crc32.Checksum(content, castagnoli))) {
			return at, "a chunk has a wrong checksum", nil
		}
	}
}
