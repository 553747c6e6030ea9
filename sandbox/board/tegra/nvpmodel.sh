#!/bin/sh
# nvpmodel — an imitation of NVIDIA's, for a Nano: -m N sets a mode, -q says it, without arguments the last one is set
set -eu
root=${IMITATED_TEGRA:-}
conf=$root/etc/nvpmodel.conf
status=$root/var/lib/nvpmodel/status
mode=$(sed -n 's/^pmode:0*\([0-9]\)/\1/p' "$status" 2>/dev/null || :)
mode=${mode:-$(sed -n 's/^< PM_CONFIG DEFAULT=\([0-9]*\) >$/\1/p' "$conf")}

# of MODE — the lines of a mode.
of() { awk -v id="ID=$1" '$2 == "POWER_MODEL" { here = $3 == id; next } $1 == "<" { here = 0 } here' "$conf"; }

# held NAME VALUE LEAST PREFIX — set MIN_FREQ or MAX_FREQ; the kernel makes 0 the least that there is.
held() {
    case $1 in
    MIN_FREQ)
        least=$3
        [ "$2" -le "$3" ] || least=$2
        echo "$least" >"$4min_freq"
        ;;
    MAX_FREQ) echo "$2" >"$4max_freq" ;;
    esac
}

case ${1:-} in
-q)
    echo 'NVPM WARN: fan mode is not set!'
    echo "NV Power Mode: $(sed -n "s/^< POWER_MODEL ID=$mode NAME=\(.*\) >\$/\1/p" "$conf")"
    echo "$mode"
    exit
    ;;
-m) mode=$2 ;;
esac
if [ -z "$(of "$mode")" ]; then
    echo "NVPM ERROR: no power mode $mode (an imitation)" >&2
    exit 1
fi
devices=$root/sys/devices
of "$mode" | while read -r what name value; do
    case $what in
    CPU_ONLINE) echo "$value" >"$devices/system/cpu/cpu${name#CORE_}/online" ;;
    CPU_A57) for cpu in 0 1 2 3; do held "$name" "$value" 102000 "$devices/system/cpu/cpu$cpu/cpufreq/scaling_"; done ;;
    GPU) held "$name" "$value" 76800000 "$devices/57000000.gpu/devfreq/57000000.gpu/" ;;
    esac
done
mkdir -p "$(dirname -- "$status")"
printf 'pmode:%04d\n' "$mode" >"$status"
