#!/bin/sh
# check.sh PACKAGES CHROOT: install, upgrade, remove and purge the deb packages of the folder
# PACKAGES in the Debian chroot CHROOT, and say what is not as it should be. It needs root, and
# a chroot that may be changed:
#   debootstrap --variant=minbase --include=systemd,init-system-helpers bookworm CHROOT
# systemd does not run there: that the service starts is left to a machine.
set -eu

packages=$1
root=$2
fails=0
fail() { echo "FAIL: $*" >&2; fails=$((fails + 1)); }
in_root() { chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }
is() { # is PATH MODE OWNER
	got=$(in_root stat -c '%a %U' "$1" 2>/dev/null) || got=missing
	[ "$got" = "$2 $3" ] || fail "$1 is $got, want $2 $3"
}
gone() { [ ! -e "$root$1" ] && [ ! -L "$root$1" ] || fail "$1 is left behind"; }

list() { in_root find /etc /usr /var /lib /opt /srv /home /root -xdev \( -path /var/log -o -path /var/lib/dpkg -o -path /var/cache -o -name '*-' -o -name .pwd.lock \) -prune -o -print | LC_ALL=C sort; }

arch=$(in_root dpkg --print-architecture)
cp "$packages"/saba-agent_*_"$arch".deb "$root/tmp/agent.deb"
cp "$packages"/saba_*_"$arch".deb "$root/tmp/server.deb"
list >"$root/tmp/before"
users=$(in_root getent passwd | wc -l)

in_root dpkg -i /tmp/agent.deb >/dev/null
is /usr/bin/saba-agent 755 root
is /etc/saba/agent.toml 600 saba-agent
is /usr/lib/saba-agent/stopped 755 root
is /usr/lib/systemd/system/saba-agent.service 644 root
in_root saba-agent version | grep -q '^saba-agent version ' || fail "the agent does not run"
[ "$(in_root systemctl is-enabled saba-agent.service 2>/dev/null || true)" = enabled ] || fail "the service is not enabled"
in_root systemd-analyze verify /usr/lib/systemd/system/saba-agent.service || fail "systemd does not like the unit"

# Commands of configurations are there, behind those that other packages may bring, and run.
bin=/usr/lib/saba-agent/bin
is $bin 755 root
grep -q "^Environment=PATH=/.*:$bin\$" "$root/usr/lib/systemd/system/saba-agent.service" || fail "the service does not look into $bin"
for kind in plugin check; do
	prefix=check-
	[ $kind = check ] || prefix=mackerel-plugin-
	for name in $(in_root saba-agent $kind | sed -n '/^[A-Z][a-z]*s:$/,/^$/s/^  \([^ ]*\) .*/\1/p') $([ $kind = plugin ] || echo cert-file ssl-cert); do
		in_root $bin/$prefix$name -version 2>&1 | grep -q "^$prefix$name version " || in_root $bin/$prefix$name --version | grep -q "^$prefix$name version " || fail "$prefix$name does not run"
		links="${links:-} $name"
	done
	in_root $bin/mackerel-$kind | grep -q "saba-agent $kind NAME" || fail "mackerel-$kind does not run"
done
# shellcheck disable=SC2086 # one word a link
[ "$(echo ${links:-} mackerel-plugin mackerel-check | wc -w)" = "$(in_root ls $bin | wc -l)" ] || fail "$bin has links that lead nowhere"

# The agent's user can read what init writes, and nobody else can.
in_root saba-agent init --apikey k --apibase http://127.0.0.1:1
is /etc/saba/agent.toml 600 saba-agent
in_root runuser -u saba-agent -- saba-agent check-config >/dev/null || fail "the agent's user cannot read its configuration"
! in_root runuser -u nobody -- cat /etc/saba/agent.toml >/dev/null 2>&1 || fail "everybody can read the key"

# An upgrade keeps the configuration, and a service that was disabled stays so.
in_root systemctl disable saba-agent.service 2>/dev/null
echo 'OTHER_OPTS=--verbose' >"$root/etc/default/saba-agent"
in_root dpkg -i --force-confold /tmp/agent.deb
grep -q '^apikey = "k"$' "$root/etc/saba/agent.toml" || fail "an upgrade lost the configuration"
grep -q verbose "$root/etc/default/saba-agent" || fail "an upgrade lost the settings"
[ "$(in_root systemctl is-enabled saba-agent.service 2>/dev/null || true)" = disabled ] || fail "an upgrade enabled the service"
in_root env DPKG_MAINTSCRIPT_PACKAGE=saba-agent sh /var/lib/dpkg/info/saba-agent.postinst configure 0.0.1 || fail "postinst cannot run twice"

in_root dpkg -r saba-agent
gone /usr/bin/saba-agent
is /etc/saba/agent.toml 600 saba-agent
in_root dpkg -i /tmp/agent.deb >/dev/null
grep -q '^apikey = "k"$' "$root/etc/saba/agent.toml" || fail "a removal lost the configuration"
in_root install -d -o saba-agent /var/lib/saba-agent
in_root touch /var/lib/saba-agent/id
in_root dpkg -P saba-agent

in_root dpkg -i /tmp/server.deb
[ "$(in_root systemctl is-enabled saba.service 2>/dev/null || true)" = enabled ] || fail "the server's service is not enabled"
in_root systemd-analyze verify /usr/lib/systemd/system/saba.service || fail "systemd does not like the server's unit"
in_root dpkg -P saba
in_root userdel saba # which is kept, for the data

rm "$root/tmp/agent.deb" "$root/tmp/server.deb"
list >"$root/tmp/after"
diff "$root/tmp/before" "$root/tmp/after" || fail "this is left behind (>), or was taken away (<)"
[ "$(in_root getent passwd | wc -l)" = "$users" ] || fail "a user is left behind"
rm "$root/tmp/before" "$root/tmp/after"
[ "$fails" = 0 ] || exit 1
echo "the packages install, upgrade and leave cleanly"
