// A module of its own: it starts the binaries and looks at them from outside, and imports nothing of saba.
module github.com/saba-monitor/saba/bench

go 1.26
