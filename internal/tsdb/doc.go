// Package tsdb keeps samples on this machine. It is a thin layer on the embedded engine
// prometheus/tsdb: no other package sees that engine's types, and this one knows nothing of
// hosts, graphs or HTTP. It imports the root package only.
//
// # What a caller sees
//
// A series holds at most one sample a minute. Times are floored to the minute when they are
// stored, and a reader gets the minute's first second.
//
//   - Append returns when its points are on disk (fdatasync): after a kill -9 or a power cut
//     every point that it answered for is still there. An error means that nothing of the
//     batch is promised, though some of it may turn up: send the batch again.
//   - Late: points up to saba.MaxLate old are stored and sorted in, in any order.
//   - Repeated: the same value for the same minute again is stored once. It is not a drop.
//   - Rewritten: another value for a minute wins over the earlier one, for the newest minute and
//     for late ones, within a batch and across restarts. A minute takes 59 rewrites to a second
//     each and 999 more to a millisecond each; the next ones are dropped as "engine".
//   - Older than saba.MaxLate, later than saba.MaxAhead, NaN or infinite, without a usable name or
//     owner: dropped with their reason, at no cost to their neighbours. The engine would
//     accept a point of next month and then refuse every present one as too old, which is
//     why the window is checked here once more.
//   - An unknown series has no samples: nil, not an error.
//   - Series of other systems carry labels, inside of their name (labelled.go). They behave as all
//     others, but are no names of a host or service. Querier shows the labels as such.
//
// # How
//
// One goroutine appends (append.go). It takes every batch that waits, appends all of it, commits
// once, syncs the write-ahead logs once, and answers all. Where batches have just come together it waits for
// the rest of them, for as long as a commit takes and three milliseconds at most (queue.go). The newest sample of every series
// stays in memory (newest.go), so that the normal case, a minute that is newer than anything
// known, needs no look at what is stored.
//
// The engine keeps the FIRST value of a timestamp. Rewrites therefore go to a later second of
// their minute, and readers take the last sample of each minute (read.go).
//
// Memory holds half an hour to an hour and a half in short chunks, so that the buffers of the open ones stay small; full ones are in a file.
// Where the engine joins blocks, compact.go joins those chunks, and drops from memory what was read of mapped files.
//
// Before the engine may open a folder, inspect.go reads the logs and those indexes of the blocks that it has not read before (inspected.go).
// A record that a crash cut short at the end of a log is cut off, with a warning. Any other
// damage of the logs makes Open fail with one sentence, and nothing is changed: left to itself, the engine
// would delete every log record after the damage. A damaged block is moved to the folder damaged (damage.go), which
// the log and /metrics say, and all others are served.
// Then wbl.go takes from the log of late points what would make the engine forget some of them.
//
// A backup is a list of open files (snapshot.go): what a kill at that moment would leave.
//
// Start with tsdb.go, then append.go.
package tsdb
