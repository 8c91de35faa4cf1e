# shellcheck shell=bash
# Sourced by the shell that starts a dyno, before the application: it must neither end that
# shell nor leave anything in it. On one dyno, it starts the agent's plugin in the background,
# which prints the figures of Sidekiq into the log until the dyno stops.
saba_sidekiq_metrics() {
	[ "${DYNO:-}" = "${SIDEKIQ_METRICS_DYNO:-web.1}" ] || return 0
	if [ -z "${REDIS_URL:-}" ]; then
		echo "sidekiq-metrics: REDIS_URL is not set, so there is nothing to watch" >&2
		return 0
	fi
	if [ ! -x "$HOME/.saba/saba-agent" ]; then
		echo "sidekiq-metrics: $HOME/.saba/saba-agent is missing: deploy anew" >&2
		return 1
	fi
	local interval=${SIDEKIQ_METRICS_INTERVAL:-30}
	case $interval in
	*[!0-9]*) ;; # has a unit
	*) interval=${interval}s ;;
	esac
	echo "sidekiq-metrics start..."
	# The URL stays in the environment: everybody sees arguments. The options are words.
	# shellcheck disable=SC2086
	"$HOME/.saba/saba-agent" plugin sidekiq -format l2met -type "${SIDEKIQ_METRICS_TYPE:-sample}" -interval "$interval" ${SIDEKIQ_METRICS_OPTIONS:-} </dev/null &
}
saba_sidekiq_metrics
unset -f saba_sidekiq_metrics
