#!/bin/sh
# tegrastats — an imitation of NVIDIA's, for a Nano: one line a second, until it is ended
set -eu
root=${IMITATED_TEGRA:-}
devices=$root/sys/devices

# heat ZONE — its °C.
heat() {
    for zone in "$devices"/virtual/thermal/thermal_zone*; do
        [ "$(cat "$zone/type")" != "$1" ] || awk -v name="${1%-therm}" '{ printf "%s@%gC", name, $1 / 1000 }' "$zone/temp"
    done
}

while :; do
    awk '/^MemTotal/ { all = $2 } /^MemAvailable/ { free = $2 }
        END { printf "RAM %d/%dMB (imitated) ", (all - free) / 1024, all / 1024 }' /proc/meminfo
    echo "GR3D_FREQ $(($(cat "$devices/57000000.gpu/load") / 10))% $(heat CPU-therm) $(heat GPU-therm) $(heat AO-therm)"
    sleep 1
done
