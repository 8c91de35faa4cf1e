#!/bin/sh
# need.sh build|test: make sure that what building or testing needs is on this machine.
# On Debian and its relatives the tests' parts are installed through apt; elsewhere, or
# without the right to, it says exactly what to install and fails.
set -eu

say() { printf 'saba: %s\n' "$*" >&2; }

if ! command -v go >/dev/null 2>&1; then
	say "Go is missing: install Go 1.26 or newer (https://go.dev/doc/install), then run this again"
	exit 1
fi
[ "$1" = test ] || exit 0

missing=
# have COMMAND PACKAGE: note the Debian package that brings a missing command.
have() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
have git git
have curl curl # runs the commands of pages
have gcc gcc # the race detector links with cgo
printf '#include <stdlib.h>\n' | ${CC:-gcc} -E - >/dev/null 2>&1 || missing="$missing libc6-dev"
have chromium chromium
have redis-server redis-server
have elixir elixir
have prometheus prometheus
have sidekiq ruby-sidekiq
[ -x /lib/systemd/systemd-journal-remote ] || missing="$missing systemd-journal-remote"
[ -x /usr/sbin/logrotate ] || missing="$missing logrotate"
have logger bsdutils
[ -x /usr/sbin/rsyslogd ] || missing="$missing rsyslog"
[ -n "$(find /usr/lib -path '*/rsyslog/lmnsd_gtls.so' 2>/dev/null | head -n 1)" ] || missing="$missing rsyslog-gnutls"
have dovecot "dovecot-imapd dovecot-pop3d dovecot-submissiond"
[ -x /usr/sbin/slapd ] || missing="$missing slapd"
have mariadb-install-db mariadb-server
[ -x /usr/sbin/nginx ] || missing="$missing nginx"
[ -n "$(find /usr/lib/postgresql -name initdb 2>/dev/null | head -n 1)" ] || missing="$missing postgresql"
ruby -e 'require "delayed_job_active_record"; require "mysql2"; require "pg"' >/dev/null 2>&1 || missing="$missing ruby-delayed-job-active-record ruby-mysql2 ruby-pg"
# The images of containers: they are loaded, run, and sent to a registry; those for other processors are tried as well.
have podman podman
[ -x /usr/sbin/runc ] || missing="$missing runc"
have skopeo skopeo
have docker-registry docker-registry
have qemu-aarch64-static qemu-user-static
[ -n "$(find /usr/share/fonts -name "*.ttf" 2>/dev/null | head -n 1)" ] || missing="$missing fonts-dejavu-core"
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"

[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
	say "the tests need these, which this machine lacks:$missing (names of Debian's packages; the browser must answer to 'chromium')"
	exit 1
fi
root=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		say "the tests need these: as root, run 'apt-get update && apt-get install --no-install-recommends$missing'"
		exit 1
	fi
	root=sudo
fi
say "installing what the tests need:$missing"
$root apt-get update -q
# shellcheck disable=SC2086 # one word a package
$root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
