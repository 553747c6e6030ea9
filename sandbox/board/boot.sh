#!/bin/sh
# boot.sh FOLDER INDEX NAME — power a stand-in board on, in the background; output goes to FOLDER/console.log.
# A reboot inside boots it again, a poweroff ends it.
set -eu

# join INDEX — enter a control group of the board's own. It makes all its processes findable, and keeps its systemd
# from seeing the machine's other units. Where version 1 and 2 are mixed, systemd tracks services in these two.
join() {
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        [ -e "$hierarchy/cgroup.procs" ] || continue
        mkdir -p "$hierarchy/pollex-$1"
        echo $$ >"$hierarchy/pollex-$1/cgroup.procs"
    done
}

# board FOLDER INDEX NAME — the board's life, from power on to off.
board() {
    folder=$1 index=$2 name=$3
    # What systemd-nspawn notes about running guests stays in here too, so that a power cut leaves nothing of it.
    mkdir -p /run/systemd/nspawn
    mount -t tmpfs tmpfs /run/systemd/nspawn
    # Relative, because overlayfs gives colons and commas in a path a meaning of their own.
    cd "$folder"
    mount -t overlay overlay -o lowerdir=base,upperdir=upper,workdir=work root
    set -- --directory=root --machine="pollex-$index" --hostname="$name" --boot --quiet --console=pipe \
        --network-namespace-path="/run/netns/pollex-$index" --register=no --keep-unit
    if [ -e disk.img ]; then
        mkdir -p disk
        mount -o loop disk.img disk
        set -- "$@" --bind="$folder/disk:/opt"
    fi
    # A resolver that listens on this machine's loopback is out of the board's reach; what it asks is not.
    if [ -e /run/systemd/resolve/resolv.conf ]; then
        set -- "$@" --resolv-conf=replace-uplink
    else
        set -- "$@" --resolv-conf=replace-host
    fi
    # 133 is systemd-nspawn's status for a guest that rebooted.
    status=133
    while [ "$status" -eq 133 ]; do
        echo 'boot.sh: power on'
        status=0
        systemd-nspawn "$@" systemd.show_status=auto || status=$?
    done
    echo "boot.sh: off, systemd-nspawn exited with status $status"
}

# The board's root file system is mounted in a mount namespace of its own, so it is gone when the board's last process
# is. The namespace must follow the machine's unmounts (slave, not private), or it would keep alive the networks of
# boards that are taken away. This script returns when the group is joined: from then on the board counts as on.
if [ "$1" != --isolated ]; then
    join "$2"
    exec setsid --fork unshare --mount --propagation slave sh "$0" --isolated "$@" \
        </dev/null >>"$1/console.log" 2>&1
fi
shift
board "$@"
exit
