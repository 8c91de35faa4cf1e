package mysql

import (
	"regexp"
	"strconv"
	"strings"
)

// The sections of the InnoDB monitor that hold statements of users, which may say anything.
const (
	transactions = "TRANSACTIONS"
	deadlock     = "LATEST DETECTED DEADLOCK"
	foreignKey   = "LATEST FOREIGN KEY ERROR"
)

var sectionTitle = regexp.MustCompile(`^[A-Z][A-Z /]+$`)

// lastCheckpoint is where the log would be read from after a crash. It is no metric.
const lastCheckpoint = "last_checkpoint"

// monitorLines says which figures the lines of the monitor hold: those of all versions from
// MySQL 5.6 and MariaDB 10.0 on, of which none has every line.
var monitorLines = []struct {
	line  *regexp.Regexp
	names []string
}{
	{regexp.MustCompile(`^Trx id counter (\d+)$`), []string{"innodb_transactions"}},
	{regexp.MustCompile(`^History list length (\d+)`), []string{"history_list"}},
	{regexp.MustCompile(`^(\d+) read views open inside InnoDB`), []string{"read_views"}},
	{regexp.MustCompile(`^Pending flushes \(fsync\) log: (\d+); buffer pool: (\d+)`), []string{"pending_log_flushes", "pending_buf_pool_flushes"}},
	{regexp.MustCompile(`^Ibuf: size (\d+), free list len (\d+), seg size (\d+), (\d+) merges`), []string{"ibuf_used_cells", "ibuf_free_cells", "ibuf_cell_count", "ibuf_merges"}},
	{regexp.MustCompile(`^(\d+) pending log writes, (\d+) pending chkp writes`), []string{"pending_log_writes", "pending_chkp_writes"}},
	{regexp.MustCompile(`^(\d+) pending log flushes, (\d+) pending chkp writes`), []string{"log_pending_log_flushes", "pending_chkp_writes"}},
	{regexp.MustCompile(`^(\d+) log i/o's done`), []string{"log_writes"}},
	{regexp.MustCompile(`^Log sequence number +(\d+)`), []string{"log_bytes_written"}},
	{regexp.MustCompile(`^Log flushed up to +(\d+)`), []string{"log_bytes_flushed"}},
	{regexp.MustCompile(`^Last checkpoint at +(\d+)`), []string{lastCheckpoint}},
	{regexp.MustCompile(`^Total (?:large )?memory allocated (\d+)`), []string{"total_mem_alloc"}},
	{regexp.MustCompile(`^Total memory allocated \d+; in additional pool allocated (\d+)`), []string{"additional_pool_alloc"}},
}

var (
	spins       = regexp.MustCompile(`^(?:Mutex spin waits|RW-\w+ spins) (\d+), rounds (\d+), OS waits (\d+)`)
	merged      = regexp.MustCompile(`^ insert (\d+), delete mark (\d+), delete (\d+)`)
	hashTable   = regexp.MustCompile(`^Hash table size (\d+)`)
	lockStructs = regexp.MustCompile(`^([A-Z ]+ )?(\d+) lock struct\(s\), heap size `)
	tablesInUse = regexp.MustCompile(`^mysql tables in use (\d+), locked (\d+)`)
	lockWait    = regexp.MustCompile(`^-+ TRX HAS BEEN WAITING (\d+) (SEC|us) `)
)

// readMonitor reads the text of SHOW ENGINE INNODB STATUS. It returns figures by the names of
// metrics, and the cells of each part of the adaptive hash index.
func readMonitor(text string) (figures map[string]float64, hashes []float64) {
	figures = map[string]float64{}
	lines := strings.Split(text, "\n")
	dashes := func(i int) bool { return i < len(lines) && len(lines[i]) > 2 && strings.Trim(lines[i], "-") == "" }
	var sessions []string // the section of transactions
	title := ""
	for i := 0; i < len(lines); i++ {
		if dashes(i) && dashes(i+2) && sectionTitle.MatchString(lines[i+1]) {
			title = lines[i+1]
			i += 2
			continue
		}
		line := lines[i]
		switch title {
		case deadlock, foreignKey: // of the past
			continue
		case transactions:
			sessions = append(sessions, line)
			continue
		}
		readMonitorLine(figures, line)
		if m := spins.FindStringSubmatch(line); m != nil {
			figures["spin_waits"] += number(m[1])
			figures["spin_rounds"] += number(m[2])
			figures["os_waits"] += number(m[3])
		}
		if m := hashTable.FindStringSubmatch(line); m != nil {
			hashes = append(hashes, number(m[1]))
		}
		if m := merged.FindStringSubmatch(line); m != nil && i > 0 && lines[i-1] == "merged operations:" {
			figures["ibuf_inserts"] = number(m[1])
			figures["ibuf_merged"] = number(m[1]) + number(m[2]) + number(m[3])
		}
	}
	readSessions(figures, sessions)
	return figures, hashes
}

func readMonitorLine(figures map[string]float64, line string) {
	for _, l := range monitorLines {
		if m := l.line.FindStringSubmatch(line); m != nil {
			for i, name := range l.names {
				figures[name] = number(m[i+1])
			}
		}
	}
	for _, l := range []struct{ start, label, name string }{
		{"Pending normal aio ", "normal aio reads:", "pending_normal_aio_reads"},
		{"Pending normal aio ", ", aio writes:", "pending_normal_aio_writes"},
		{" ibuf aio ", "ibuf aio reads:", "pending_ibuf_aio_reads"},
		{" ibuf aio ", ", log i/o's:", "pending_aio_log_ios"},
		{" ibuf aio ", ", sync i/o's:", "pending_aio_sync_ios"},
	} {
		if _, after, ok := strings.Cut(line, l.label); ok && strings.HasPrefix(line, l.start) {
			if v, known := pending(after); known {
				figures[l.name] = v
			}
		}
	}
}

// pending reads how many operations wait: "3 [1, 2] , …", or without the total before the
// threads of which each has some, or without both where there is nothing to count.
func pending(s string) (v float64, known bool) {
	s = strings.TrimLeft(s, " ")
	if digits := len(s) - len(strings.TrimLeft(s, "0123456789")); digits > 0 {
		return number(s[:digits]), true
	}
	list, _, ok := strings.Cut(strings.TrimPrefix(s, "["), "]")
	if !ok || !strings.HasPrefix(s, "[") {
		return 0, false
	}
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(field), 10, 64)
		if err != nil {
			return 0, false
		}
		v += float64(n)
	}
	return v, true
}

// readSessions reads the section of transactions; lines is nil when there is none.
func readSessions(figures map[string]float64, lines []string) {
	if lines == nil {
		return
	}
	var current, active, locked, structs, inUse, lockedTables, waiting float64
	for i, line := range lines {
		if strings.HasPrefix(line, "LIST OF TRANSACTIONS") {
			for _, head := range lines[:i] {
				readMonitorLine(figures, head)
			}
		}
		if line == "... truncated..." {
			return // the server had more of them than the text may hold
		}
		if strings.HasPrefix(line, "---TRANSACTION ") {
			current++
			if strings.Contains(line, ", ACTIVE ") {
				active++
			}
		}
		if m := lockStructs.FindStringSubmatch(line); m != nil {
			structs += number(m[2])
			if m[1] == "LOCK WAIT " {
				locked++
			}
		}
		if m := tablesInUse.FindStringSubmatch(line); m != nil {
			inUse += number(m[1])
			lockedTables += number(m[2])
		}
		if m := lockWait.FindStringSubmatch(line); m != nil {
			seconds := number(m[1])
			if m[2] == "us" { // MariaDB, from 10.6 on
				seconds /= 1e6
			}
			waiting += seconds
		}
	}
	figures["current_transactions"], figures["active_transactions"], figures["locked_transactions"] = current, active, locked
	figures["innodb_lock_structs"], figures["innodb_tables_in_use"], figures["innodb_locked_tables"] = structs, inUse, lockedTables
	figures["innodb_lock_wait_secs"] = waiting
}

// number reads digits.
func number(s string) float64 {
	v, _ := strconv.ParseFloat(s, 64) // too many digits are an infinity
	return v
}
