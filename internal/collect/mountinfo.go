package collect

import "strings"

// A mount is one line of /proc/self/mountinfo.
type mount struct {
	id, parent string
	device     string // major:minor of the superblock: "254:0"; btrfs and friends have major 0
	root       string // which part of the file system is mounted: "/" for all of it
	point      string // where
	fsType     string // "ext4", "fuse.sshfs"
	source     string // "/dev/vda1", "tmpfs", "server:/export"
}

// parseMountinfo reads /proc/self/mountinfo (proc_pid_mountinfo(5), fs/proc_namespace.c) in
// the order of the file. Lines of another form are left out: a new kind of mount costs itself.
func parseMountinfo(text string) []mount {
	var mounts []mount
	for line := range strings.Lines(text) {
		// 46 28 254:0 /www /srv/www rw,relatime shared:40 - xfs /dev/mapper/vg0-home rw,attr2
		// The number of optional fields before the lone hyphen varies.
		fields := strings.Fields(line)
		if len(fields) < 9 {
			continue
		}
		sep := 6
		for sep < len(fields) && fields[sep] != "-" {
			sep++
		}
		if sep+2 >= len(fields) {
			continue
		}
		m := mount{
			id: fields[0], parent: fields[1], device: fields[2],
			root: unescape(fields[3]), point: unescape(fields[4]),
			fsType: unescape(fields[sep+1]), source: unescape(fields[sep+2]),
		}
		if !strings.HasPrefix(m.point, "/") {
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescape undoes the kernel's \ooo for blanks, tabs, newlines, # and backslashes in names
// (mangle in fs/seq_file.c). A backslash before anything else stands for itself.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] <= '3' && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(c byte) bool { return '0' <= c && c <= '7' }

// visible says whether mounts[i] can be reached under its mount point, or whether another
// mount lies over it. Paths are walked from the root: each mount on the way must be one that
// mounts[i] was mounted on, directly or through others. byID finds a mount by its id.
func visible(mounts []mount, byID map[string]int, i int) bool {
	below, ok := ancestors(mounts, byID, i)
	if !ok {
		return false
	}
	for j, n := range mounts {
		if j == i || below[j] || !under(mounts[i].point, n.point) {
			continue
		}
		if n.point != mounts[i].point || j > i {
			return false // of two in one place, neither mounted on the other, the later lies on top
		}
		if belowJ, _ := ancestors(mounts, byID, j); belowJ[i] {
			return false
		}
	}
	return true
}

// ancestors returns the mounts that mounts[i] is mounted on, directly or through others; false
// if they go round in a circle, as no kernel's do.
func ancestors(mounts []mount, byID map[string]int, i int) (map[int]bool, bool) {
	below := map[int]bool{}
	for at := i; ; {
		parent, ok := byID[mounts[at].parent]
		if !ok || parent == at { // the root: what it is mounted on is outside of our view, or itself
			return below, true
		}
		if parent == i || below[parent] {
			return below, false
		}
		below[parent] = true
		at = parent
	}
}

// under says whether path is dir or lies below it.
func under(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir) && path[len(dir)] == '/'
}

// better says whether m rather than old stands for the file system that both are mounts of:
// the root folder first (a backup tool may mount the whole of its btrfs elsewhere for a
// while), then a mount of the whole file system before one of a part (a bind mount, a
// subvolume), then the shorter mount point. Of equals the earlier stays, so that names last.
func (m mount) better(old mount) bool {
	if top, oldTop := m.point == "/", old.point == "/"; top != oldTop {
		return top
	}
	if whole, oldWhole := m.root == "/", old.root == "/"; whole != oldWhole {
		return whole
	}
	return len(m.point) < len(old.point)
}

// distinct returns the visible mounts among those that keep accepts, one a file system, in
// the order in which the file systems first appear.
func distinct(mounts []mount, keep func(mount) bool) []mount {
	var chosen []mount
	at := map[string]int{} // by device, and by source for block devices
	byID := make(map[string]int, len(mounts))
	for i, m := range mounts {
		byID[m.id] = i
	}
	for i, m := range mounts {
		if !keep(m) || !visible(mounts, byID, i) {
			continue
		}
		j, known := at[m.device]
		if !known && strings.HasPrefix(m.source, "/dev/") {
			// Two superblocks of one device (btrfs makes anonymous numbers): still one series.
			j, known = at[m.source]
		}
		if !known {
			j = len(chosen)
			chosen = append(chosen, m)
		} else if m.better(chosen[j]) {
			chosen[j] = m
		}
		at[m.device] = j
		if strings.HasPrefix(m.source, "/dev/") {
			at[m.source] = j
		}
	}
	return chosen
}
