#!/bin/sh
# Runs after the service has stopped. Retires the host when the machine shuts down and the
# administrator wants that (AUTO_RETIREMENT in the environment file); on every other stop it
# does nothing, for a restart would otherwise register a new host.
case "${AUTO_RETIREMENT:-0}" in
0) exit 0 ;;
esac
[ "$(systemctl is-system-running 2>/dev/null)" = stopping ] || exit 0
# shellcheck disable=SC2086 # flags, one a word
exec /usr/bin/saba-agent retire --force ${OTHER_OPTS:-}
