package follow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Bounds on what is looked for.
const (
	maxFiles   = 10000  // that are read in a run
	maxVisited = 100000 // entries of folders, for a pattern with **
	maxBraces  = 1000   // patterns that one with braces stands for
)

// Find returns the files that patterns match (* ? [] as in a shell, {a,b}, and ** for folders at any depth), and those of a folder whose name matches a
// regular expression, which may be nil: sorted, each once, packed ones left out. Those that it has found and an error may come together.
func Find(ctx context.Context, patterns []string, folder string, name *regexp.Regexp) (paths []string, err error) {
	var errs []error
	for _, pattern := range patterns {
		found, err := expand(ctx, pattern)
		paths, errs = append(paths, found...), append(errs, err)
	}
	if name != nil {
		if folder == "" {
			folder = "."
		}
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, e := range entries {
			if name.MatchString(e.Name()) && !packed(e.Name()) {
				paths = append(paths, filepath.Join(folder, e.Name()))
			}
		}
	}
	slices.Sort(paths)
	seen := map[fileID]bool{} // a file may have several names
	paths = slices.DeleteFunc(slices.Compact(paths), func(path string) bool {
		info, err := os.Stat(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		if err != nil || info.IsDir() || seen[identity(info)] {
			return true
		}
		seen[identity(info)] = true
		return false
	})
	if len(paths) > maxFiles {
		errs = append(errs, fmt.Errorf("these are %d files, of which the first %d are read", len(paths), maxFiles))
		paths = paths[:maxFiles]
	}
	return paths, errors.Join(errs...)
}

// expand returns the files that a pattern matches: * ? [] as in a shell, {a,b} and ** for folders
// at any depth, packed ones left out. What is there under the very name is no pattern.
func expand(ctx context.Context, pattern string) ([]string, error) {
	if _, err := os.Lstat(pattern); err == nil || !strings.ContainsAny(pattern, "*?[{") {
		return []string{pattern}, nil
	}
	patterns, err := braces(pattern)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, p := range patterns {
		var more []string
		if strings.Contains(p, "**") {
			more, err = walk(ctx, p)
		} else {
			more, err = filepath.Glob(strings.ReplaceAll(p, "[!", "[^"))
		}
		if err != nil {
			return found, fmt.Errorf("--file %s: %w", p, err)
		}
		found = append(found, more...)
	}
	return slices.DeleteFunc(found, packed), nil
}

// packed says whether a file is one that rotation has packed.
func packed(path string) bool {
	return slices.Contains([]string{".gz", ".bz2", ".xz", ".zst", ".zip"}, filepath.Ext(path))
}

// braces returns the patterns that one with {a,b} stands for.
func braces(pattern string) ([]string, error) {
	done, todo := []string{}, []string{pattern}
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		shut := strings.IndexByte(p, '}')
		open := -1
		if shut > 0 {
			open = strings.LastIndexByte(p[:shut], '{') // the innermost
		}
		if open < 0 {
			done = append(done, p)
			continue
		}
		for part := range strings.SplitSeq(p[open+1:shut], ",") {
			todo = append(todo, p[:open]+part+p[shut+1:])
		}
		if len(todo)+len(done) > maxBraces {
			return nil, fmt.Errorf("--file %s stands for more than %d patterns", pattern, maxBraces)
		}
	}
	return done, nil
}

// walk returns the files below the folder that stands before the first sign of a pattern with **.
func walk(ctx context.Context, pattern string) (found []string, err error) {
	re, err := toRegexp(pattern)
	if err != nil {
		return nil, err
	}
	root := pattern[:strings.IndexAny(pattern, "*?[")]
	root = root[:strings.LastIndexByte(root, '/')+1]
	if root == "" {
		root = "."
	}
	visited := 0
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch visited++; {
		case ctx.Err() != nil:
			return fmt.Errorf("looking through %s takes too long", root)
		case visited > maxVisited:
			return fmt.Errorf("there is too much to look through in %s", root)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission): // as a shell has it
			return nil
		case err == nil && !e.IsDir() && re.MatchString(path):
			found = append(found, path)
		}
		return err
	})
	return found, err
}

// toRegexp returns a pattern of * ? [] and **, which stands for folders at any depth, as a regexp.
func toRegexp(pattern string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString("^")
	for i := 0; i < len(pattern); i++ {
		switch ch := pattern[i]; {
		case strings.HasPrefix(pattern[i:], "**/"):
			b.WriteString("(?:[^/]+/)*")
			i += 2
		case strings.HasPrefix(pattern[i:], "**"):
			b.WriteString(".*")
			i++
		case ch == '*':
			b.WriteString("[^/]*")
		case ch == '?':
			b.WriteString("[^/]")
		case ch == '[' && strings.IndexByte(pattern[i:], ']') > 1:
			end := i + strings.IndexByte(pattern[i:], ']')
			set := strings.ReplaceAll(pattern[i+1:end], `\`, `\\`)
			if negated, ok := strings.CutPrefix(set, "!"); ok {
				set = "^" + negated
			}
			b.WriteString("[" + set + "]")
			i = end
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	return regexp.Compile(b.String() + "$")
}

// openRegular opens a file, and not what reading would wait for, like a pipe.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file with an end", path)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// A fileID tells a file from others, whatever its name is.
type fileID struct{ device, inode uint64 }

func identity(info fs.FileInfo) fileID {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{uint64(s.Dev), s.Ino}
	}
	return fileID{}
}
