# Makes the user and the configuration of the agent, unless they are there.
if ! getent passwd saba-agent >/dev/null; then
	useradd --system --user-group --no-create-home --home-dir /var/lib/saba-agent --shell /usr/sbin/nologin saba-agent
fi
install -d -m 0755 /etc/saba
if [ ! -e /etc/saba/agent.toml ]; then
	# A key will stand in it: readable by the agent's user alone.
	install -m 0600 -o saba-agent -g saba-agent /usr/share/saba-agent/agent.toml /etc/saba/agent.toml
fi
# start_agent: (re)starts the agent where systemd runs, once there is something to start it with.
start_agent() {
	[ -d /run/systemd/system ] || return 0
	systemctl daemon-reload || true
	if saba-agent check-config >/dev/null 2>&1; then
		systemctl restart saba-agent.service || true
	else
		echo "saba-agent: to start it: saba-agent init --apikey-file FILE --apibase URL && systemctl restart saba-agent"
	fi
}
