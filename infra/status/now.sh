#!/bin/sh
# now.sh — what a machine says of itself at this moment, as lines NAME VALUE; what it does not know is left out.
#
#   sh now.sh [SERVICE [STATISTICS]]   the ports of the polish service and of HAProxy's statistics on its loopback
set -u
service=${1:-}
statistics=${2:-}

awk '/^MemAvailable:/ { print "available_mb", int($2 / 1024) }' /proc/meminfo

# The hottest zone, in °C. A Jetson's PMIC always says 100.
for zone in /sys/class/thermal/thermal_zone*; do
    case $(cat "$zone/type" 2>/dev/null) in '' | PMIC*) continue ;; esac
    cat "$zone/temp" 2>/dev/null
done | awk '$1 > hottest { hottest = $1 } END { if (hottest) printf "celsius %d\n", hottest / 1000 }'

awk -F '\t' '$2 != "-" { since = $1 } END { if (since) print "since", since }' /opt/pollex/generations/log 2>/dev/null

if [ -n "$service" ]; then
    curl -fsS -m 5 "http://127.0.0.1:$service/metrics" 2>/dev/null |
        awk '/^pollex_queue_waiting\{/ { waiting += $NF } /^pollex_requests_total\{.*polish/ { asked += $NF }
             /^pollex_board_throttled_since_timestamp_seconds / { throttled = $NF }
             END { if (NR) { printf "waiting %d\nasked %d\n", waiting, asked }
                   if (throttled) printf "throttled_since %d\n", throttled }'
fi

# One line a board: its name, what HAProxy thinks of it, requests that run, requests so far.
if [ -n "$statistics" ]; then
    curl -fsS -m 5 "http://127.0.0.1:$statistics/;csv" 2>/dev/null |
        awk -F , '$1 == "boards" && $2 !~ /^(FRONTEND|BACKEND)$/ { sub(/ .*/, "", $18); print "board", $2, $18, $5, $8 }'
fi
exit 0
