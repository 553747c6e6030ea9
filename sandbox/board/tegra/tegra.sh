#!/bin/sh
# tegra.sh — an imitation of what a Jetson Nano has besides a PC: the kernel's files, JetPack's programs and units
#
#   sh tegra.sh files FOLDER    the kernel's and JetPack's files below FOLDER, as after a start of the board
#   sh tegra.sh install         as root on a stand-in board: files, programs and units, now and after every start
#   sh tegra.sh mount           what its unit runs: lay the files over the kernel's own, which nobody can write here
#
# From public descriptions of L4T 32 on a Nano: NVIDIA's Jetson Linux Developer Guide (power management), the board's
# device tree (names and temperatures of zones and cooling devices), and what `jetson_clocks --show` and `--store`
# print there. Nothing of NVIDIA's is in it, and nothing here has an effect on any clock, fan or swap.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# JetPack's where they are there; those of Debian that are imitated come before its own
programs='/usr/sbin/nvpmodel /usr/bin/jetson_clocks /usr/bin/tegrastats /usr/local/sbin/swapon /usr/local/sbin/swapoff'

# put FILE VALUE — a file with one line.
put() {
    mkdir -p "$(dirname -- "$1")"
    printf '%s\n' "$2" >"$1"
}

# files FOLDER
files() {
    devices=$1/sys/devices
    gpu=$devices/57000000.gpu
    put "$gpu/load" 0
    put "$gpu/railgate_enable" 1
    put "$gpu/devfreq/57000000.gpu/available_frequencies" '76800000 153600000 230400000 307200000 384000000 460800000 537600000 614400000 691200000 768000000 844800000 921600000'
    put "$gpu/devfreq/57000000.gpu/min_freq" 76800000
    put "$gpu/devfreq/57000000.gpu/max_freq" 921600000
    put "$gpu/devfreq/57000000.gpu/cur_freq" 153600000
    ln -sfn 57000000.gpu "$devices/gpu.0"
    for number in 0 1 2 3; do
        cpu=$devices/system/cpu/cpu$number
        put "$cpu/online" 1
        put "$cpu/cpufreq/scaling_governor" schedutil
        put "$cpu/cpufreq/scaling_min_freq" 102000
        put "$cpu/cpufreq/scaling_max_freq" 1428000
        put "$cpu/cpufreq/scaling_cur_freq" 1428000
        put "$cpu/cpuidle/state0/disable" 0
        put "$cpu/cpuidle/state1/disable" 0
    done
    put "$devices/pwm-fan/target_pwm" 0
    put "$devices/pwm-fan/temp_control" 1
    number=0
    for zone in AO-therm=41500 CPU-therm=34000 GPU-therm=31000 PLL-therm=31500 PMIC-Die=100000 thermal-fan-est=33000; do
        put "$devices/virtual/thermal/thermal_zone$number/type" "${zone%=*}"
        put "$devices/virtual/thermal/thermal_zone$number/temp" "${zone#*=}"
        number=$((number + 1))
    done
    number=0
    for name in pwm-fan cpu-balanced gpu-balanced emergency-balanced tegra_heavy tegra-dram GPU-cap; do
        put "$devices/virtual/thermal/cooling_device$number/type" "$name"
        put "$devices/virtual/thermal/cooling_device$number/cur_state" 0
        number=$((number + 1))
    done
    put "$1/proc/sys/vm/swappiness" 60
    put "$1/proc/swaps" 'Filename				Type		Size	Used	Priority'
    put "$1/etc/nv_tegra_release" '# R32 (release), REVISION: 6.1, GCID: 0, BOARD: t210ref, EABI: aarch64, DATE: an imitation'
    cat >"$1/etc/nvpmodel.conf" <<'CONF'
# an imitation of JetPack's for a Nano, as far as it is read here
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_2 1
CPU_ONLINE CORE_3 1
CPU_A57 MIN_FREQ 0
CPU_A57 MAX_FREQ 1428000
GPU MIN_FREQ 0
GPU MAX_FREQ 921600000
< POWER_MODEL ID=1 NAME=5W >
CPU_ONLINE CORE_2 0
CPU_ONLINE CORE_3 0
CPU_A57 MIN_FREQ 0
CPU_A57 MAX_FREQ 918000
GPU MIN_FREQ 0
GPU MAX_FREQ 640000000
< PM_CONFIG DEFAULT=0 >
CONF
}

# unit NAME LINE… — a unit of JetPack's, or of this imitation.
unit() {
    name=$1
    shift
    printf '%s\n' "$@" >"/etc/systemd/system/$name"
}

case ${1:?files FOLDER, install or mount} in
files) files "$2" ;;
mount)
    run=/run/imitated-tegra
    [ ! -e "$run" ] || exit 0
    mkdir -p "$run/work"
    files "$run"
    mount -t overlay overlay -o "lowerdir=/sys/devices,upperdir=$run/sys/devices,workdir=$run/work" /sys/devices
    mount --bind "$run/proc/sys/vm/swappiness" /proc/sys/vm/swappiness
    mount --bind "$run/proc/swaps" /proc/swaps
    ;;
install)
    files /usr/local/lib/imitated-tegra/once
    cp /usr/local/lib/imitated-tegra/once/etc/* /etc
    for program in $programs; do
        install -m 0755 "$here/$(basename -- "$program").sh" "$program"
    done
    install "$here/tegra.sh" /usr/local/lib/imitated-tegra
    mkdir -p /usr/local/cuda/bin
    install -m 0755 "$here/nvcc.sh" /usr/local/cuda/bin/nvcc
    unit imitated-tegra.service '[Unit]' 'Description=imitation of a Tegra' 'DefaultDependencies=no' \
        'Before=sysinit.target' '[Service]' 'Type=oneshot' 'RemainAfterExit=yes' \
        'ExecStart=/bin/sh /usr/local/lib/imitated-tegra/tegra.sh mount' '[Install]' 'WantedBy=sysinit.target'
    # nvpmodel keeps its mode over a start, and this applies it
    unit nvpmodel.service '[Unit]' 'Description=imitation: power mode' '[Service]' 'Type=oneshot' \
        'ExecStart=/usr/sbin/nvpmodel' '[Install]' 'WantedBy=multi-user.target'
    unit nvzramconfig.service '[Unit]' 'Description=imitation: swap in compressed memory' '[Service]' 'Type=oneshot' \
        'RemainAfterExit=yes' 'ExecStart=/usr/local/sbin/swapon /dev/zram0' '[Install]' 'WantedBy=multi-user.target'
    unit desktop.service '[Unit]' 'Description=imitation of a desktop' '[Service]' 'ExecStart=/bin/sleep infinity' \
        '[Install]' 'Alias=display-manager.service'
    systemctl daemon-reload
    systemctl -q enable imitated-tegra.service nvpmodel.service nvzramconfig.service desktop.service
    ln -sfn /lib/systemd/system/graphical.target /etc/systemd/system/default.target
    systemctl start imitated-tegra.service
    systemctl start nvpmodel.service nvzramconfig.service desktop.service
    ;;
*)
    echo "tegra.sh: files FOLDER, install or mount, not $1" >&2
    exit 2
    ;;
esac
