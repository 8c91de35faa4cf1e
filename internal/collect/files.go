package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// Files reports how many files are open, and how many inodes the kernel holds. The zero value
// reads /proc.
type Files struct {
	Proc fs.FS // procfs to read; nil means the host's own
}

var filesGraphs = []saba.GraphDef{
	graph("files", "Linux Open Files", saba.UnitInteger, line("open", "Open")),
	graph("file_limit", "Linux Open Files, Limit", saba.UnitInteger, line("max", "Limit")),
	graph("file_usage", "Linux Open Files, Share of the Limit", saba.UnitPercentage, line("percentage", "Used")),
	graph("inode_cache", "Linux Inodes in Memory", saba.UnitInteger, area("used", "Used"), area("free", "Free")),
}

// Collect returns custom.linux.files.open, the limit file_limit.max, what share of it is used
// in percent (file_usage.percentage), and the inodes in memory (inode_cache.used and .free).
func (f *Files) Collect(context.Context) ([]saba.Value, error) {
	var values []saba.Value
	file, err := numbers(f.Proc, "sys/fs/file-nr", 3)
	if err == nil {
		// Allocated, free among them (0 since Linux 2.6), the most (fs/file_table.c).
		open := file[0] - min(file[0], file[1])
		values = append(values, gauge("files.open", open))
		// Systemd lifts the limit to the top of the scale, which is as good as none.
		if file[2] > 0 && file[2] < math.MaxInt64 {
			values = append(values, gauge("file_limit.max", file[2]), gauge("file_usage.percentage", 100*open/file[2]))
		}
	}
	inode, inodeErr := numbers(f.Proc, "sys/fs/inode-nr", 2)
	if inodeErr == nil {
		free := min(inode[0], max(inode[1], 0)) // the kernel sums both up at slightly different moments
		values = append(values, gauge("inode_cache.used", inode[0]-free), gauge("inode_cache.free", free))
	}
	return values, errors.Join(err, inodeErr)
}

// numbers returns the first n numbers of a file of procfs.
func numbers(proc fs.FS, name string, n int) ([]float64, error) {
	text, err := readText(procOrHost(proc), name)
	if err != nil {
		return nil, err
	}
	list, err := parseNumbers(text, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

func parseNumbers(text string, n int) ([]float64, error) {
	list := make([]float64, 0, n)
	for f := range strings.FieldsSeq(text) {
		if len(list) == n {
			break
		}
		v, err := strconv.ParseFloat(f, 64)
		if err != nil || math.IsNaN(v) || v < 0 || v > math.MaxUint64 {
			return nil, fmt.Errorf("%.40q is not a number from 0 to 2^64", f)
		}
		list = append(list, v)
	}
	if len(list) < n {
		return nil, fmt.Errorf("%d numbers where %d should be", len(list), n)
	}
	return list, nil
}
