package mysql

import (
	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
)

// The names of graphs and metrics are those of other plugins of the protocol, to which they are
// in turn what the server calls them, or what it calls them in its InnoDB monitor.

// baseGraphs are always collected.
var baseGraphs = []plugin.Graph{
	{Name: "cmd", Label: "Command", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Com_insert", Label: "Insert", Counter: true, Stacked: true},
		{Name: "Com_insert_select", Label: "Insert Select", Counter: true, Stacked: true},
		{Name: "Com_select", Label: "Select", Counter: true, Stacked: true},
		{Name: "Com_update", Label: "Update", Counter: true, Stacked: true},
		{Name: "Com_update_multi", Label: "Update Multi", Counter: true, Stacked: true},
		{Name: "Com_delete", Label: "Delete", Counter: true, Stacked: true},
		{Name: "Com_delete_multi", Label: "Delete Multi", Counter: true, Stacked: true},
		{Name: "Com_replace", Label: "Replace", Counter: true, Stacked: true},
		{Name: "Com_replace_select", Label: "Replace Select", Counter: true, Stacked: true},
		{Name: "Com_load", Label: "Load", Counter: true, Stacked: true},
		{Name: "Com_set_option", Label: "Set Option", Counter: true, Stacked: true},
		{Name: "Qcache_hits", Label: "Query Cache Hits", Counter: true},
		{Name: "Questions", Label: "Questions", Counter: true},
	}},
	{Name: "join", Label: "Join/Scan", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Select_full_join", Label: "Select Full JOIN", Counter: true},
		{Name: "Select_full_range_join", Label: "Select Full Range JOIN", Counter: true},
		{Name: "Select_range", Label: "Select Range", Counter: true},
		{Name: "Select_range_check", Label: "Select Range Check", Counter: true},
		{Name: "Select_scan", Label: "Select SCAN", Counter: true},
	}},
	{Name: "threads", Label: "Threads", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "thread_cache_size", Label: "Cache Size"},
		{Name: "Threads_connected", Label: "Connected"},
		{Name: "Threads_running", Label: "Running"},
		{Name: "Threads_created", Label: "Created", Counter: true},
		{Name: "Threads_cached", Label: "Cached"},
	}},
	{Name: "connections", Label: "Connections", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "max_connections", Label: "Max Connections"},
		{Name: "Max_used_connections", Label: "Max Used Connections"},
		{Name: "Connections", Label: "Connections", Counter: true},
		{Name: "Threads_connected", Label: "Threads Connected"},
		{Name: "Aborted_clients", Label: "Aborted Clients", Counter: true},
		{Name: "Aborted_connects", Label: "Aborted Connects", Counter: true},
	}},
	{Name: "seconds_behind_master", Label: "Slave status", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "Seconds_Behind_Master", Label: "Seconds Behind Master"}, // of the source that it is furthest behind
	}},
	// Of sources that have a name: MySQL's channels, MariaDB's connections.
	{Name: lagOfSources, Label: "Seconds Behind Source", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{{Name: "*", Label: "%1"}}},
	{Name: "replication", Label: "Replication", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "sources", Label: "Sources"},
		{Name: "running", Label: "Running"}, // those of which both threads run
	}},
	{Name: "table_locks", Label: "Table Locks/Slow Queries", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Table_locks_immediate", Label: "Table Locks Immediate", Counter: true},
		{Name: "Table_locks_waited", Label: "Table Locks Waited", Counter: true},
		{Name: "Slow_queries", Label: "Slow Queries", Counter: true},
	}},
	{Name: "traffic", Label: "Traffic", Unit: saba.UnitBytesPerSec, PerSecond: true, Metrics: []plugin.Metric{
		{Name: "Bytes_sent", Label: "Sent Bytes", Counter: true},
		{Name: "Bytes_received", Label: "Received Bytes", Counter: true},
	}},
	{Name: "capacity", Label: "Capacity", Unit: saba.UnitPercentage, Metrics: []plugin.Metric{
		{Name: "PercentageOfConnections", Label: "Percentage Of Connections"},
		{Name: "PercentageOfBufferPool", Label: "Percentage Of Buffer Pool"}, // of InnoDB
	}},
}

// The graphs that are treated apart.
const (
	lagOfSources = "seconds_behind_source"
	processlist  = "processlist"
)

// innodbGraphs are collected unless -disable_innodb says otherwise.
var innodbGraphs = []plugin.Graph{
	{Name: "innodb_rows", Label: "innodb Rows", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Innodb_rows_read", Label: "Read", Counter: true},
		{Name: "Innodb_rows_inserted", Label: "Inserted", Counter: true},
		{Name: "Innodb_rows_updated", Label: "Updated", Counter: true},
		{Name: "Innodb_rows_deleted", Label: "Deleted", Counter: true},
	}},
	{Name: "innodb_row_lock_time", Label: "innodb Row Lock Time", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Innodb_row_lock_time", Label: "Lock Time", Counter: true},
	}},
	{Name: "innodb_row_lock_waits", Label: "innodb Row Lock Waits", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Innodb_row_lock_waits", Label: "Lock Waits", Counter: true},
	}},
	{Name: "innodb_adaptive_hash_index", Label: "innodb Adaptive Hash Index", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "hash_index_cells_total", Label: "Hash Index Cells Total"},
	}},
	{Name: "innodb_buffer_pool_read", Label: "innodb Buffer Pool Read (/sec)", Unit: saba.UnitFloat, PerSecond: true, Metrics: []plugin.Metric{
		{Name: "read_ahead", Label: "Pages Read Ahead", Counter: true},
		{Name: "read_evicted", Label: "Evicted Without Access", Counter: true},
		{Name: "read_random_ahead", Label: "Random Read Ahead", Counter: true},
	}},
	{Name: "innodb_buffer_pool_activity", Label: "innodb Buffer Pool Activity (Pages)", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "pages_created", Label: "Created", Counter: true},
		{Name: "pages_read", Label: "Read", Counter: true},
		{Name: "pages_written", Label: "Written", Counter: true},
	}},
	{Name: "innodb_buffer_pool_efficiency", Label: "innodb Buffer Pool Efficiency", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "Innodb_buffer_pool_reads", Label: "Reads", Counter: true},
		{Name: "Innodb_buffer_pool_read_requests", Label: "Read Requests", Counter: true},
	}},
	{Name: "innodb_buffer_pool", Label: "innodb Buffer Pool (Pages)", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "pool_size", Label: "Pool Size"},
		{Name: "database_pages", Label: "Used", Stacked: true},
		{Name: "free_pages", Label: "Free", Stacked: true},
		{Name: "modified_pages", Label: "Modified"},
	}},
	{Name: "innodb_checkpoint_age", Label: "innodb Checkpoint Age", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
		{Name: "uncheckpointed_bytes", Label: "Uncheckpointed"},
	}},
	{Name: "innodb_current_lock_waits", Label: "innodb Current Lock Waits (secs)", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "innodb_lock_wait_secs", Label: "Innodb Lock Wait"},
	}},
	{Name: "innodb_io", Label: "innodb I/O", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "file_reads", Label: "File Reads", Counter: true},
		{Name: "file_writes", Label: "File Writes", Counter: true},
		{Name: "file_fsyncs", Label: "File fsyncs", Counter: true},
		{Name: "log_writes", Label: "Log Writes", Counter: true},
	}},
	{Name: "innodb_io_pending", Label: "innodb I/O Pending", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "pending_normal_aio_reads", Label: "Normal AIO Reads"},
		{Name: "pending_normal_aio_writes", Label: "Normal AIO Writes"},
		{Name: "pending_ibuf_aio_reads", Label: "InnoDB Buffer AIO Reads"},
		{Name: "pending_aio_log_ios", Label: "AIO Log IOs"},
		{Name: "pending_aio_sync_ios", Label: "AIO Sync IOs"},
		{Name: "pending_log_flushes", Label: "Log Flushes (fsync)"},
		{Name: "pending_buf_pool_flushes", Label: "Buffer Pool Flushes"},
		{Name: "pending_log_writes", Label: "Log Writes"},
		{Name: "pending_chkp_writes", Label: "Checkpoint Writes"},
		{Name: "log_pending_log_flushes", Label: "Log Flushes (log)"},
	}},
	{Name: "innodb_insert_buffer", Label: "innodb Insert Buffer", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "ibuf_inserts", Label: "Inserts", Counter: true},
		{Name: "ibuf_merges", Label: "Merges", Counter: true},
		{Name: "ibuf_merged", Label: "Merged", Counter: true},
	}},
	{Name: "innodb_insert_buffer_usage", Label: "innodb Insert Buffer Usage (Cells)", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "ibuf_cell_count", Label: "Cell Count"},
		{Name: "ibuf_used_cells", Label: "Used", Stacked: true},
		{Name: "ibuf_free_cells", Label: "Free", Stacked: true},
	}},
	{Name: "innodb_lock_structures", Label: "innodb Lock Structures", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "innodb_lock_structs", Label: "Structures"},
	}},
	{Name: "innodb_log", Label: "innodb Log", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
		{Name: "log_bytes_written", Label: "Written", Counter: true},
		{Name: "log_bytes_flushed", Label: "Flushed", Counter: true},
		{Name: "unflushed_log", Label: "Unflushed"},
		{Name: "innodb_log_buffer_size", Label: "Buffer Size", Stacked: true},
	}},
	{Name: "innodb_memory_allocation", Label: "innodb Memory Allocation", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "additional_pool_alloc", Label: "Additional Pool Allocated"},
		{Name: "total_mem_alloc", Label: "Total Memory Allocated"},
	}},
	{Name: "innodb_semaphores", Label: "innodb Semaphores", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "spin_waits", Label: "Spin Waits", Counter: true},
		{Name: "spin_rounds", Label: "Spin Rounds", Counter: true},
		{Name: "os_waits", Label: "OS Waits", Counter: true},
	}},
	{Name: "innodb_tables_in_use", Label: "innodb Tables In Use", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "innodb_locked_tables", Label: "Locked Tables"},
		{Name: "innodb_tables_in_use", Label: "Table in Use"},
	}},
	{Name: "innodb_transactions_active_locked", Label: "innodb Transactions Active/Locked", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "current_transactions", Label: "Current"},
		{Name: "active_transactions", Label: "Active"},
		{Name: "locked_transactions", Label: "Locked"},
		{Name: "read_views", Label: "Read Views"},
	}},
	{Name: "innodb_transactions", Label: "innodb Transactions", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
		{Name: "history_list", Label: "History List"},
		{Name: "innodb_transactions", Label: "InnoDB Transactions", Counter: true},
	}},
}

// extendedGraphs are collected when -enable_extended says so.
var extendedGraphs = []plugin.Graph{
	{Name: "query_cache", Label: "query Cache", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Qcache_queries_in_cache", Label: "Qcache Queries In Cache"},
		{Name: "Qcache_hits", Label: "Qcache Hits", Counter: true},
		{Name: "Qcache_inserts", Label: "Qcache Inserts", Counter: true},
		{Name: "Qcache_not_cached", Label: "Qcache Not Cached", Counter: true},
		{Name: "Qcache_lowmem_prunes", Label: "Qcache Lowmem Prunes", Counter: true},
	}},
	{Name: "query_cache_memory", Label: "query Cache Memory", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "query_cache_size", Label: "Query Cache Size"},
		{Name: "Qcache_free_memory", Label: "Qcache Free Memory"},
		{Name: "Qcache_total_blocks", Label: "Qcache Total Blocks"},
		{Name: "Qcache_free_blocks", Label: "Qcache Free Blocks"},
	}},
	{Name: "temporary_objects", Label: "temporary Objects", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Created_tmp_tables", Label: "Created Tmp Tables", Counter: true},
		{Name: "Created_tmp_disk_tables", Label: "Created Tmp Disk Tables", Counter: true},
		{Name: "Created_tmp_files", Label: "Created Tmp Files", Counter: true},
	}},
	{Name: "files_and_tables", Label: "files and Tables", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "table_cache", Label: "Table Cache"},
		{Name: "Open_tables", Label: "Open Tables"},
		{Name: "Open_files", Label: "Open Files"},
		{Name: "Opened_tables", Label: "Opened Tables", Counter: true},
	}},
	{Name: processlist, Label: "processlist", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "State_closing_tables", Label: "State Closing Tables", Stacked: true},
		{Name: "State_copying_to_tmp_table", Label: "State Copying To Tmp Table", Stacked: true},
		{Name: "State_end", Label: "State End", Stacked: true},
		{Name: "State_freeing_items", Label: "State Freeing Items", Stacked: true},
		{Name: "State_init", Label: "State Init", Stacked: true},
		{Name: "State_locked", Label: "State Locked", Stacked: true},
		{Name: "State_login", Label: "State Login", Stacked: true},
		{Name: "State_preparing", Label: "State Preparing", Stacked: true},
		{Name: "State_reading_from_net", Label: "State Reading From Net", Stacked: true},
		{Name: "State_sending_data", Label: "State Sending Data", Stacked: true},
		{Name: "State_sorting_result", Label: "State Sorting Result", Stacked: true},
		{Name: "State_statistics", Label: "State Statistics", Stacked: true},
		{Name: "State_updating", Label: "State Updating", Stacked: true},
		{Name: "State_writing_to_net", Label: "State Writing To Net", Stacked: true},
		{Name: "State_none", Label: "State None", Stacked: true},
		{Name: "State_other", Label: "State Other", Stacked: true},
	}},
	{Name: "sorts", Label: "sorts", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Sort_rows", Label: "Sort Rows", Counter: true},
		{Name: "Sort_range", Label: "Sort Range", Counter: true},
		{Name: "Sort_merge_passes", Label: "Sort Merge Passes", Counter: true},
		{Name: "Sort_scan", Label: "Sort Scan", Counter: true},
	}},
	{Name: "handlers", Label: "handlers", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Handler_write", Label: "Handler Write", Counter: true, Stacked: true},
		{Name: "Handler_update", Label: "Handler Update", Counter: true, Stacked: true},
		{Name: "Handler_delete", Label: "Handler Delete", Counter: true, Stacked: true},
		{Name: "Handler_read_first", Label: "Handler Read First", Counter: true, Stacked: true},
		{Name: "Handler_read_key", Label: "Handler Read Key", Counter: true, Stacked: true},
		{Name: "Handler_read_last", Label: "Handler Read Last", Counter: true, Stacked: true},
		{Name: "Handler_read_next", Label: "Handler Read Next", Counter: true, Stacked: true},
		{Name: "Handler_read_prev", Label: "Handler Read Prev", Counter: true, Stacked: true},
		{Name: "Handler_read_rnd", Label: "Handler Read Rnd", Counter: true, Stacked: true},
		{Name: "Handler_read_rnd_next", Label: "Handler Read Rnd Next", Counter: true, Stacked: true},
	}},
	{Name: "transaction_handler", Label: "transaction handler", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Handler_commit", Label: "Handler Commit", Counter: true},
		{Name: "Handler_rollback", Label: "Handler Rollback", Counter: true},
		{Name: "Handler_savepoint", Label: "Handler Savepoint", Counter: true},
		{Name: "Handler_savepoint_rollback", Label: "Handler Savepoint Rollback", Counter: true},
	}},
	{Name: "myisam_indexes", Label: "MyISAM Indexes", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
		{Name: "Key_read_requests", Label: "Key Read Requests", Counter: true},
		{Name: "Key_reads", Label: "Key Reads", Counter: true},
		{Name: "Key_write_requests", Label: "Key Write Requests", Counter: true},
		{Name: "Key_writes", Label: "Key Writes", Counter: true},
	}},
	{Name: "myisam_key_cache", Label: "MyISAM Key Cache", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
		{Name: "key_buffer_size", Label: "Key Buffer Size"},
		{Name: "key_buf_bytes_used", Label: "Key Buf Bytes Used"},
		{Name: "key_buf_bytes_unflushed", Label: "Key Buf Bytes Unflushed"},
	}},
}
