// Package mount reads which file systems are mounted, and how full they are, without waiting for
// one that hangs. Begin with Parse, Distinct and Prober.
package mount

import "strings"

// A Mount is one line of /proc/self/mountinfo.
type Mount struct {
	ID, Parent string
	Device     string // major:minor of the superblock: "254:0"; btrfs and friends have major 0
	Root       string // which part of the file system is mounted: "/" for all of it
	Point      string // where
	Type       string // "ext4", "fuse.sshfs"
	Source     string // "/dev/vda1", "tmpfs", "server:/export"
}

// Parse reads /proc/self/mountinfo (proc_pid_mountinfo(5), fs/proc_namespace.c) in
// the order of the file. Lines of another form are left out: a new kind of mount costs itself.
func Parse(text string) []Mount {
	var mounts []Mount
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
		m := Mount{
			ID: fields[0], Parent: fields[1], Device: fields[2],
			Root: unescape(fields[3]), Point: unescape(fields[4]),
			Type: unescape(fields[sep+1]), Source: unescape(fields[sep+2]),
		}
		if !strings.HasPrefix(m.Point, "/") {
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
func visible(mounts []Mount, byID map[string]int, i int) bool {
	below, ok := ancestors(mounts, byID, i)
	if !ok {
		return false
	}
	for j, n := range mounts {
		if j == i || below[j] || !under(mounts[i].Point, n.Point) {
			continue
		}
		if n.Point != mounts[i].Point || j > i {
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
func ancestors(mounts []Mount, byID map[string]int, i int) (map[int]bool, bool) {
	below := map[int]bool{}
	for at := i; ; {
		parent, ok := byID[mounts[at].Parent]
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
func (m Mount) better(old Mount) bool {
	if top, oldTop := m.Point == "/", old.Point == "/"; top != oldTop {
		return top
	}
	if whole, oldWhole := m.Root == "/", old.Root == "/"; whole != oldWhole {
		return whole
	}
	return len(m.Point) < len(old.Point)
}

// Distinct returns the visible mounts among those that keep accepts, one a file system, in
// the order in which the file systems first appear.
func Distinct(mounts []Mount, keep func(Mount) bool) []Mount {
	var chosen []Mount
	at := map[string]int{} // by device, and by source for block devices
	byID := make(map[string]int, len(mounts))
	for i, m := range mounts {
		byID[m.ID] = i
	}
	for i, m := range mounts {
		if !keep(m) || !visible(mounts, byID, i) {
			continue
		}
		j, known := at[m.Device]
		if !known && strings.HasPrefix(m.Source, "/dev/") {
			// Two superblocks of one device (btrfs makes anonymous numbers): still one series.
			j, known = at[m.Source]
		}
		if !known {
			j = len(chosen)
			chosen = append(chosen, m)
		} else if m.better(chosen[j]) {
			chosen[j] = m
		}
		at[m.Device] = j
		if strings.HasPrefix(m.Source, "/dev/") {
			at[m.Source] = j
		}
	}
	return chosen
}

// Virtual says whether m has no blocks by its nature: a view into the kernel, or a mount in waiting.
func (m Mount) Virtual() bool {
	switch m.Type {
	case "autofs", "proc", "sysfs", "devpts", "debugfs", "tracefs", "securityfs", "cgroup", "cgroup2", "pstore", "bpf",
		"configfs", "fusectl", "mqueue", "hugetlbfs", "rpc_pipefs", "nsfs", "binfmt_misc", "selinuxfs", "efivarfs",
		"fuse.portal", "fuse.gvfsd-fuse", "fuse.lxcfs":
		return true
	}
	return false
}

// Local says whether m has blocks on this machine, and not across a network or shared between
// machines, where an answer may never come (and df -l is silent too).
func (m Mount) Local() bool {
	switch m.Type {
	case "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "ceph", "glusterfs", "lustre", "gpfs",
		"beegfs", "orangefs", "ocfs2", "vxfs", "acfs", "auristorfs", "fhgfs", "ibrix", "fuse.sshfs", "fuse.glusterfs",
		"fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.davfs", "davfs", "fuse.curlftpfs":
		return false
	}
	return !m.Virtual() && (strings.HasPrefix(m.Source, "/dev/") || !strings.Contains(m.Source, ":") && !strings.HasPrefix(m.Source, "//"))
}

// AlwaysFull says whether m is an image, made full and never written.
func (m Mount) AlwaysFull() bool {
	return m.Type == "squashfs" || m.Type == "iso9660" || m.Type == "erofs"
}
