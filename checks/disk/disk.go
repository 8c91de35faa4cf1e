// Package disk is the check that looks at how much of the host's file systems is free.
package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/plugin/target/mount"
)

// Check says whether enough of the file systems is free.
var Check = check.Check{
	Name:  "disk",
	Short: "whether enough space and inodes of the file systems are free",
	New: func(fs *check.FlagSet) check.Checker {
		c := &checker{proc: os.DirFS("/proc"), unit: units["MB"]}
		fs.FuncP("warning", "w", "WARNING with less free than `N` units or N%", c.warning.set)
		fs.FuncP("critical", "c", "CRITICAL with less free than `N` units or N%", c.critical.set)
		fs.FuncP("iwarning", "W", "WARNING with fewer free inodes than `N%`", c.inodeWarning.setPercent)
		fs.FuncP("icritical", "K", "CRITICAL with fewer free inodes than `N%`", c.inodeCritical.setPercent)
		fs.StringArrayVarP(&c.paths, "path", "p", nil, "only the file system with this `mount point` or device; may be repeated")
		fs.StringArrayVarP(&c.excludes, "exclude-device", "x", nil, "not the file system with this `mount point` or device; may be repeated; without -p only")
		fs.BoolVarP(&c.all, "all", "A", false, "also those in memory (tmpfs), images, which are always full, and the layers of containers")
		fs.StringArrayVarP(&c.excludeTypes, "exclude-type", "X", nil, "no file systems of this `type`, like tmpfs; may be repeated; without -p only")
		fs.StringArrayVarP(&c.includeTypes, "include-type", "N", nil, "only file systems of this `type`, like ext4; may be repeated; without -p only")
		fs.FuncP("units", "u", "`unit` of what is given and told: bytes, kB, MB, GB or TB, each 1024 of the one before (default MB)", func(s string) error {
			for name, size := range units {
				if strings.EqualFold(name, s) {
					c.unit = size
					return nil
				}
			}
			return errors.New("it must be bytes, kB, MB, GB or TB")
		})
		return c
	},
}

// A unit is a number of bytes with its name.
type unit struct {
	name  string
	bytes float64
}

var units = map[string]unit{
	"bytes": {"bytes", 1}, "kB": {"kB", 1 << 10}, "MB": {"MB", 1 << 20}, "GB": {"GB", 1 << 30}, "TB": {"TB", 1 << 40},
}

type checker struct {
	proc   fs.FS
	prober mount.Prober

	warning, critical           limit
	inodeWarning, inodeCritical limit

	paths, excludes            []string
	all                        bool
	excludeTypes, includeTypes []string
	unit                       unit
}

// A limit is how little may be free.
type limit struct {
	given   bool
	value   float64
	percent bool
}

func (l *limit) set(s string) error {
	number, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || percent && v > 100 {
		return errors.New("it must be a number like 500, or a share like 10%")
	}
	*l = limit{true, v, percent}
	return nil
}

func (l *limit) setPercent(s string) error {
	if err := l.set(strings.TrimSuffix(s, "%") + "%"); err != nil {
		return errors.New("it must be a share like 10%")
	}
	return nil
}

// text returns the limit as it was given, without the unit.
func (l limit) text() string {
	text := strconv.FormatFloat(l.value, 'f', -1, 64)
	if l.percent {
		text += "%"
	}
	return text
}

// CheckFlags says what is missing.
func (c *checker) CheckFlags() error {
	if !c.warning.given && !c.critical.given && !c.inodeWarning.given && !c.inodeCritical.given {
		return errors.New("how little may be free? give one of --warning, --critical, --iwarning and --icritical, like -c 10%")
	}
	return nil
}

// A finding is what is to be said of one file system.
type finding struct {
	status saba.CheckStatus
	used   float64 // share, of space or inodes
	line   string
}

// rank is higher the worse a status is. What is known to be bad is worse than what is not known.
func rank(s saba.CheckStatus) int {
	return slices.Index([]saba.CheckStatus{saba.CheckOK, saba.CheckUnknown, saba.CheckWarning, saba.CheckCritical}, s)
}

// Check asks each file system once, the worst first in what it says. One that hangs holds up nothing.
func (c *checker) Check(ctx context.Context) check.Result {
	text, err := fs.ReadFile(c.proc, "self/mountinfo")
	if err != nil {
		return check.Unknown("%v", err)
	}
	mounts, findings := c.choose(mount.Parse(string(text)))
	usages, errs := c.prober.All(ctx, mounts)
	for i, m := range mounts {
		switch u := usages[i]; {
		case u != nil && u.Used()+u.Writable() > 0:
			findings = append(findings, c.judge(m.Point, u))
		case u != nil && len(c.paths) > 0:
			findings = append(findings, unknown("%s has no space that could be free: it is %s", m.Point, m.Type))
		case u != nil || errors.Is(errs[i], fs.ErrPermission) && len(c.paths) == 0: // another user's mount
		case errs[i] != nil:
			findings = append(findings, unknown("%v", errs[i]))
		default:
			findings = append(findings, unknown("the file system on %s still does not answer", m.Point))
		}
	}
	if len(findings) == 0 {
		return check.Unknown("no file system is chosen by these flags")
	}
	slices.SortStableFunc(findings, func(a, b finding) int {
		return cmp.Or(rank(b.status)-rank(a.status), cmp.Compare(b.used, a.used))
	})
	r := check.Result{Status: findings[0].status}
	for _, f := range findings {
		r.Message += f.line + "\n"
	}
	return r
}

func unknown(format string, args ...any) finding {
	return finding{saba.CheckUnknown, 0, fmt.Sprintf(format, args...)}
}

// choose returns the mounts to ask, and what is to be said of paths where nothing is mounted.
func (c *checker) choose(all []mount.Mount) (chosen []mount.Mount, missing []finding) {
	if len(c.paths) == 0 {
		return mount.Distinct(all, c.keep), nil
	}
	for _, p := range c.paths {
		p = path.Clean(p)
		found := mount.Distinct(all, func(m mount.Mount) bool { return names(m, p) })
		if len(found) == 0 {
			missing = append(missing, unknown("no file system is mounted on %s", p))
		}
		chosen = append(chosen, found...)
	}
	return chosen, missing
}

// names says whether s is the mount point or the device of m.
func names(m mount.Mount, s string) bool { return m.Point == s || m.Source == s }

// keep says whether m is looked at when no path is given.
func (c *checker) keep(m mount.Mount) bool {
	if m.Virtual() || slices.ContainsFunc(c.excludes, func(s string) bool { return names(m, path.Clean(s)) }) || slices.Contains(c.excludeTypes, m.Type) {
		return false
	}
	if len(c.includeTypes) > 0 {
		return slices.Contains(c.includeTypes, m.Type)
	}
	memory := m.Type == "tmpfs" || m.Type == "devtmpfs" || m.Type == "ramfs"
	// The layers of containers are on a file system that is looked at. But in a container they are the root.
	layer := m.Type == "overlay" && m.Point != "/"
	return c.all || !memory && !m.AlwaysFull() && !layer
}

// judge returns what the usage of the file system on point means.
func (c *checker) judge(point string, u *mount.Usage) finding {
	block := float64(u.BlockSize)
	free, size := float64(u.Writable())*block, float64(u.Used()+u.Writable())*block
	share := 100 * free / size
	f := finding{saba.CheckOK, 100 - share, fmt.Sprintf("%s %.1f%% free (%s of %s %s)", point, share, c.number(free), c.number(size), c.unit.name)}
	// Where inodes are made as needed (btrfs, vfat) there is always one more.
	hasInodes, inodes := u.Files > 0 && u.FreeFiles <= u.Files, 0.0
	if hasInodes && (c.inodeWarning.given || c.inodeCritical.given) {
		inodes = 100 * float64(u.FreeFiles) / float64(u.Files)
		f.used = max(f.used, 100-inodes)
		f.line += fmt.Sprintf(", %.1f%% of its inodes", inodes)
	}
	for _, step := range []struct {
		limit  limit
		status saba.CheckStatus
		inodes bool
	}{
		{c.inodeCritical, saba.CheckCritical, true}, {c.critical, saba.CheckCritical, false},
		{c.inodeWarning, saba.CheckWarning, true}, {c.warning, saba.CheckWarning, false},
	} {
		l, why := step.limit, ""
		switch {
		case !l.given || step.inodes && !hasInodes:
		case step.inodes && inodes < l.value:
			why = l.text() + " of the inodes"
		case !step.inodes && l.percent && share < l.value:
			why = l.text()
		case !step.inodes && !l.percent && free < l.value*c.unit.bytes:
			why = l.text() + " " + c.unit.name
		}
		if why != "" {
			f.status, f.line = step.status, f.line+": less than "+why
			break
		}
	}
	return f
}

// number returns bytes in the unit that was chosen, without more digits than say something.
func (c *checker) number(bytes float64) string {
	n := bytes / c.unit.bytes
	if n >= 100 || c.unit.bytes == 1 {
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	return strconv.FormatFloat(n, 'f', 1, 64)
}
