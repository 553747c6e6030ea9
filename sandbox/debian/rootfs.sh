#!/bin/sh
# rootfs.sh DIR [ARCHITECTURE]  make DIR a bare Debian as stand-in boards start from it: systemd, sshd, the login manu
# rootfs.sh --inputs            print what besides this file decides the contents of DIR, one item a line
#
# It starts from what debian.sh makes. Programs of a named ARCHITECTURE (Debian's word) are run by QEMU, which this
# machine's kernel must know of.
set -eu

here=$(dirname -- "$0")
LOGIN=manu
architecture=${2:-}
# What a flashed Jetson has as well. Compilers are missing on purpose: `pollex-host prepare` installs them.
PRESENT=systemd,systemd-sysv,dbus,openssh-server,sudo,curl,ca-certificates,git,patch,iproute2,procps
# Fetched but not installed, so that installing them on a fresh board needs no download.
FETCHED='g++ cmake make ninja-build ccache'
if [ -n "$architecture" ]; then
    # It compiles nothing; of its Python, sandbox/aarch64.py makes one that is brought along.
    FETCHED='libgomp1 python3.11'
else
    PRESENT=$PRESENT,python3
fi

# say WHAT — one line of progress.
say() {
    printf 'root file system: %s\n' "$1" >&2
}

# bootstrap DIR — the packages.
bootstrap() {
    say 'debootstrap, about a minute, by QEMU ten'
    sh "$here/debian.sh" "$1" --include="$PRESENT" ${architecture:+--arch="$architecture"}
    # Machines behind an inspecting proxy trust more than Debian's list.
    [ ! -f /etc/ssl/certs/ca-certificates.crt ] ||
        cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/ca-certificates.crt"
    say "fetching (not installing) $FETCHED"
    chroot "$1" apt-get update -q >&2
    # shellcheck disable=SC2086 # a list of words
    chroot "$1" apt-get install -q -y --no-install-recommends --download-only $FETCHED >&2
}

# quicken DIR — nothing that waits, writes needlessly or competes for apt's locks.
quicken() {
    chroot "$1" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
        e2scrub_reap.service fstrim.timer getty.target console-getty.service systemd-firstboot.service
    chroot "$1" systemctl -q set-default multi-user.target
    mkdir -p "$1/var/log/journal"
}

# admit DIR — who may log in: manu (with sudo) and root, by the one key that each board brings along.
admit() {
    chroot "$1" useradd --create-home --shell /bin/bash --password '*' "$LOGIN"
    echo "$LOGIN ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/$LOGIN"
    chmod 0440 "$1/etc/sudoers.d/$LOGIN"
    rm -f "$1"/etc/ssh/ssh_host_*
    cat >"$1/etc/ssh/sshd_config.d/board.conf" <<CONF
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/board_keys .ssh/authorized_keys
PasswordAuthentication no
PermitRootLogin prohibit-password
UseDNS no
MaxStartups 100
CONF
}

case ${1:-} in
'' | -h | --help)
    sed -n 's/^# \{0,1\}//; 2,3p' "$0"
    exit 2
    ;;
--inputs)
    sh "$here/debian.sh" --inputs
    ;;
*)
    bootstrap "$1"
    quicken "$1"
    admit "$1"
    ;;
esac
