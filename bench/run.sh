#!/bin/sh
# run.sh: figures of whole processes: size of the binaries, start-up time, memory and CPU of an idle
# `saba up`, bytes on disk; then what the agent costs (main.go), and what servers cost (server.go). MINUTES=60 measures for an
# hour in place of 3 minutes, IDLE=SECONDS is the idle run of `saba up` (default 60), SERVERS=1000 the sizes of servers,
# SECONDS_OF_LINES=30 how long log lines come at their pace.
set -eu
cd "$(dirname "$0")/.."
idle=${IDLE:-60}
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT INT TERM

row() { printf '%-44s %s\n' "$1" "$2"; }
now() { date +%s%3N; }
# field NAME: a figure of /proc/PID/status, in MiB.
field() { awk -v f="$1:" '$1 == f {printf "%.1f MiB", $2 / 1024}' "/proc/$pid/status"; }
# cpu: seconds of CPU that the process has used (utime + stime, in ticks of 10 ms).
cpu() { awk '{sub(/.*\) /, ""); printf "%.2f", ($12 + $13) / 100}' "/proc/$pid/stat"; }

begin() { # start saba up and wait until it announces its console; prints milliseconds
	: >"$work/out"
	t0=$(now)
	SABA_API_KEY=bench-key-0123456789 bin/saba up --listen 127.0.0.1:0 --data "$work/data" >"$work/out" 2>&1 &
	pid=$!
	until base=$(sed -n 's/.*Console *\(http:[^ ]*\).*/\1/p' "$work/out") && [ -n "$base" ]; do
		kill -0 "$pid" || { cat "$work/out" >&2; exit 1; }
		sleep 0.01
	done
	took=$(($(now) - t0))
}
end() { kill -INT "$pid"; wait "$pid"; pid=; }

echo "## sizes and start-up"
for b in saba saba-agent; do
	row "size of $b" "$(wc -c <"bin/$b" | awk '{printf "%.1f MB", $1 / 1e6}')"
done
begin
row "first start until it serves" "$took ms"
end
begin
row "second start until it serves" "$took ms"
row "resident memory after the start" "$(field VmRSS)"
c0=$(cpu)
echo "## idle for $idle s (server and agent in one process)"
sleep "$idle"
row "resident memory" "$(field VmRSS)"
row "of that, private (not mapped files)" "$(field RssAnon)"
row "highest resident memory" "$(field VmHWM)"
row "CPU seconds an hour, at this pace" "$(awk -v a="$c0" -v b="$(cpu)" -v s="$idle" 'BEGIN {printf "%.1f s", (b - a) / s * 3600}')"
end
row "data folder" "$(du -sk "$work/data" | awk '{printf "%.1f MiB", $1 / 1024}')"

cd bench
go run . -minutes "${MINUTES:-3}"
go run . -minutes "${MINUTES:-3}" -server "${SERVERS:-100,1000,5000}"
go run . -lines "${SECONDS_OF_LINES:-30}"
