package mysql

import (
	"strconv"
	"strings"
)

// The sections of the InnoDB monitor that hold statements of users, which may say anything.
const (
	transactions = "TRANSACTIONS"
	deadlock     = "LATEST DETECTED DEADLOCK"
	foreignKey   = "LATEST FOREIGN KEY ERROR"
)

// lastCheckpoint is where the log would be read from after a crash. It is no metric.
const lastCheckpoint = "last_checkpoint"

// A monitorLine says which figures a line of the monitor holds, as scan reads it.
type monitorLine struct {
	pattern string
	names   []string
}

// monitorLines are the lines of all versions from MySQL 5.6 and MariaDB 10.0 on, of which none has every line.
var monitorLines = []monitorLine{
	{"Trx id counter %$", []string{"innodb_transactions"}},
	{"History list length %", []string{"history_list"}},
	{"% read views open inside InnoDB", []string{"read_views"}},
	{"Pending flushes (fsync) log: %; buffer pool: %", []string{"pending_log_flushes", "pending_buf_pool_flushes"}},
	{"Ibuf: size %, free list len %, seg size %, % merges", []string{"ibuf_used_cells", "ibuf_free_cells", "ibuf_cell_count", "ibuf_merges"}},
	{"% pending log writes, % pending chkp writes", []string{"pending_log_writes", "pending_chkp_writes"}},
	{"% pending log flushes, % pending chkp writes", []string{"log_pending_log_flushes", "pending_chkp_writes"}},
	{"% log i/o's done", []string{"log_writes"}},
	{"Log sequence number %", []string{"log_bytes_written"}},
	{"Log flushed up to %", []string{"log_bytes_flushed"}},
	{"Last checkpoint at %", []string{lastCheckpoint}},
	{"Total large memory allocated %", []string{"total_mem_alloc"}},
	{"Total memory allocated %", []string{"total_mem_alloc"}},
	{"Total memory allocated %; in additional pool allocated %", []string{"total_mem_alloc", "additional_pool_alloc"}},
}

// spinLines are those of semaphores: spins, rounds and waits.
var spinLines = []string{"Mutex spin waits %, rounds %, OS waits %", "RW-shared spins %, rounds %, OS waits %", "RW-excl spins %, rounds %, OS waits %", "RW-sx spins %, rounds %, OS waits %"}

// scan reads the numbers of a line that begins as pattern says, where % stands for digits, a blank for one blank or
// more, and $ at the end for the end of the line. It returns nil when the line is another one.
func scan(line, pattern string) []float64 {
	var numbers []float64
	for i := range len(pattern) {
		switch c := pattern[i]; {
		case c == '%':
			digits := len(line) - len(strings.TrimLeft(line, "0123456789"))
			if digits == 0 {
				return nil
			}
			numbers = append(numbers, number(line[:digits]))
			line = line[digits:]
		case c == '$' && line == "":
		case line == "" || line[0] != c:
			return nil
		case c == ' ':
			line = strings.TrimLeft(line, " ")
		default:
			line = line[1:]
		}
	}
	return numbers
}

// sectionTitle says whether a line is in capitals.
func sectionTitle(line string) bool {
	return len(line) > 1 && line[0] >= 'A' && line[0] <= 'Z' && strings.Trim(line, capitals+" /") == ""
}

const capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// readMonitor reads the text of SHOW ENGINE INNODB STATUS. It returns figures by the names of
// metrics, and the cells of each part of the adaptive hash index.
func readMonitor(text string) (figures map[string]float64, hashes []float64) {
	figures = map[string]float64{}
	lines := strings.Split(text, "\n")
	dashes := func(i int) bool { return i < len(lines) && len(lines[i]) > 2 && strings.Trim(lines[i], "-") == "" }
	var sessions []string // the section of transactions
	title := ""
	for i := 0; i < len(lines); i++ {
		if dashes(i) && dashes(i+2) && sectionTitle(lines[i+1]) {
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
		for _, pattern := range spinLines {
			if n := scan(line, pattern); n != nil {
				figures["spin_waits"] += n[0]
				figures["spin_rounds"] += n[1]
				figures["os_waits"] += n[2]
			}
		}
		hashes = append(hashes, scan(line, "Hash table size %")...)
		if n := scan(line, " insert %, delete mark %, delete %"); n != nil && i > 0 && lines[i-1] == "merged operations:" {
			figures["ibuf_inserts"] = n[0]
			figures["ibuf_merged"] = n[0] + n[1] + n[2]
		}
	}
	readSessions(figures, sessions)
	return figures, hashes
}

func readMonitorLine(figures map[string]float64, line string) {
	for _, l := range monitorLines {
		for i, n := range scan(line, l.pattern) {
			figures[l.names[i]] = n
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
		// "LOCK WAIT 2 lock struct(s), …", or what the transaction does in place of waiting, or nothing.
		does := line[:len(line)-len(strings.TrimLeft(line, capitals+" "))]
		if n := scan(line[len(does):], "% lock struct(s), heap size "); n != nil && (does == "" || does != " " && strings.HasSuffix(does, " ")) {
			structs += n[0]
			if does == "LOCK WAIT " {
				locked++
			}
		}
		if n := scan(line, "mysql tables in use %, locked %"); n != nil {
			inUse += n[0]
			lockedTables += n[1]
		}
		wait := strings.TrimLeft(line, "-")
		if wait == line {
			continue
		}
		if n := scan(wait, " TRX HAS BEEN WAITING % SEC "); n != nil {
			waiting += n[0]
		}
		if n := scan(wait, " TRX HAS BEEN WAITING % us "); n != nil { // MariaDB, from 10.6 on
			waiting += n[0] / 1e6
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
