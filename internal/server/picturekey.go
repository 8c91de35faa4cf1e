package server

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/saba-monitor/saba/internal/picture"
)

// pictureKey is a file in the data folder: the key of the links to pictures that messages carry. Backups hold it, so that the links of the last
// weeks outlive a restore; whoever has a backup has the secrets of channels anyway.
const pictureKey = "picture.key"

// loadPictureKey returns the key in a data folder. It makes one where there is none that can be used, and says so when that voids links.
func loadPictureKey(data string, random io.Reader, log *slog.Logger) ([]byte, error) {
	path := filepath.Join(data, pictureKey)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the key of links to pictures, %s, cannot be read: %w; mend its permissions, or remove it to get a new one", path, reason(err))
	}
	if err == nil {
		if key, err := hex.DecodeString(strings.TrimSpace(string(text))); err == nil && len(key) == picture.KeySize {
			return key, nil
		}
		log.Warn("the key of links to pictures was damaged; a new one takes its place, and links in messages sent before show nothing", "file", path)
	}
	key := make([]byte, picture.KeySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("make a key for links to pictures: %w", err)
	}
	// By way of another file, so that a crash leaves the whole key or none.
	temporary := path + ".tmp"
	err = os.WriteFile(temporary, fmt.Appendf(nil, "%x\n", key), 0o600)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return nil, fmt.Errorf("the key of links to pictures, %s, cannot be written: %w; free some space, or mend the permissions of its folder", path, reason(err))
	}
	return key, nil
}
