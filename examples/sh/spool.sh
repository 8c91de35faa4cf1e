#!/bin/sh
# An example of a metric plugin in plain sh: how many files wait in a folder, and how old the
# oldest is. Copy it and change it.
#
#   [plugin.metrics.spool]
#   command = ["/usr/local/bin/spool.sh", "/var/spool/mail"]
#
# What an agent of the protocol asks of a plugin:
#   * with MACKEREL_AGENT_PLUGIN_META set, print the graph definitions, and ask nobody: the
#     target may be down when the agent starts;
#   * otherwise print a line a value: name, tab, value, tab, Unix time. The agent puts "custom."
#     before the name;
#   * what is not known is no line, and never a zero; what went wrong is a sentence on stderr
#     and an exit code that is not 0.
set -eu

if [ -n "${MACKEREL_AGENT_PLUGIN_META:-}" ]; then
	cat <<-'END'
		# mackerel-agent-plugin
		{"graphs": {
		  "spool.files": {"label": "Spool Files", "unit": "integer",
		    "metrics": [{"name": "waiting", "label": "Waiting", "stacked": false}]},
		  "spool.age": {"label": "Spool Age", "unit": "seconds",
		    "metrics": [{"name": "oldest", "label": "Oldest", "stacked": false}]}
		}}
	END
	exit 0
fi

dir=${1:-/var/spool}
if [ ! -d "$dir" ] || [ ! -r "$dir" ]; then
	echo "spool.sh: $dir is not a folder that can be read" >&2
	exit 1
fi

now=$(date +%s)
waiting=0 oldest=$now
for file in "$dir"/*; do
	[ -f "$file" ] || continue # a folder; or the pattern itself, when there is no file
	at=$(stat -c %Y "$file" 2>/dev/null) || continue # taken meanwhile
	waiting=$((waiting + 1))
	[ "$at" -ge "$oldest" ] || oldest=$at
done

printf 'spool.files.waiting\t%d\t%d\n' "$waiting" "$now"
[ "$waiting" -eq 0 ] || printf 'spool.age.oldest\t%d\t%d\n' "$((now - oldest))" "$now"
