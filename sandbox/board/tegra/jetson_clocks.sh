#!/bin/sh
# jetson_clocks — an imitation of NVIDIA's, for a Nano: --store [FILE], --restore [FILE], --show; without arguments every
# clock is held at the most that the power mode allows. As there, the stored file has a line FILE:VALUE for each file.
set -eu
root=${IMITATED_TEGRA:-}
devices=$root/sys/devices
gpu=$devices/57000000.gpu
# a unit has no HOME; as there, that is no error
file=${2:-${HOME:-}/l4t_dfs.conf}

stored() {
    for cpu in 0 1 2 3; do echo "$devices/system/cpu/cpu$cpu/online"; done
    for cpu in 0 1 2 3; do echo "$devices/system/cpu/cpu$cpu/cpufreq/scaling_min_freq"; done
    for cpu in 0 1 2 3; do
        for state in 0 1; do echo "$devices/system/cpu/cpu$cpu/cpuidle/state$state/disable"; done
    done
    echo "$gpu/devfreq/57000000.gpu/min_freq"
    echo "$gpu/railgate_enable"
    echo "$devices/pwm-fan/target_pwm"
    echo "$devices/pwm-fan/temp_control"
}

case ${1:-} in
--store)
    if [ -e "$file" ]; then
        echo "File $file already exists. Can I overwrite it? Y/N:"
        read -r answer || answer=N
        [ "$answer" = Y ] || exit 1
    fi
    stored | while read -r one; do echo "$one:$(cat "$one")"; done >"$file"
    ;;
--restore)
    [ -e "$file" ] || { echo "Error: no $file" >&2 && exit 1; }
    while IFS=: read -r one value; do echo "$value" >"$one"; done <"$file"
    ;;
--show)
    echo 'SOC family:tegra210  Machine:jetson-nano (an imitation)'
    for cpu in 0 1 2 3; do
        of=$devices/system/cpu/cpu$cpu/cpufreq
        echo "cpu$cpu: Online=$(cat "$devices/system/cpu/cpu$cpu/online") Governor=$(cat "$of/scaling_governor")" \
            "MinFreq=$(cat "$of/scaling_min_freq") MaxFreq=$(cat "$of/scaling_max_freq")"
    done
    of=$gpu/devfreq/57000000.gpu
    echo "GPU MinFreq=$(cat "$of/min_freq") MaxFreq=$(cat "$of/max_freq") CurrentFreq=$(cat "$of/cur_freq")"
    echo "Fan: speed=$(cat "$devices/pwm-fan/target_pwm")"
    ;;
'')
    for cpu in 0 1 2 3; do
        of=$devices/system/cpu/cpu$cpu
        cat "$of/cpufreq/scaling_max_freq" >"$of/cpufreq/scaling_min_freq"
        for state in 0 1; do echo 1 >"$of/cpuidle/state$state/disable"; done
    done
    cat "$gpu/devfreq/57000000.gpu/max_freq" >"$gpu/devfreq/57000000.gpu/min_freq"
    echo 0 >"$gpu/railgate_enable"
    ;;
*)
    echo "Unknown option $1 (an imitation)" >&2
    exit 1
    ;;
esac
