#!/bin/sh
# aarch64.sh DIR       make DIR the root file system of a stand-in board that is an aarch64, as rootfs.sh makes others
# aarch64.sh --inputs  print what besides this file decides the contents of DIR, one item a line
#
# Its systemd is run by QEMU too, and boots as any other but for what `ease` knows. Sandboxes of units are mounts and
# namespaces of this machine's kernel and in force; seccomp filters are not, because QEMU passes none on. Setuid programs
# get no rights where QEMU is registered as Debian's packages do it, so sudo does not work there.
set -eu

here=$(dirname -- "$0")

# age DIR — a Python that is too old for everything here, as a Jetson's.
age() {
    cat >"$1/usr/bin/python3" <<'PYTHON'
#!/bin/sh
# an imitation of JetPack's Python 3.6: says its version, and can do nothing else
echo 3.6
exit 1
PYTHON
    chmod 0755 "$1/usr/bin/python3"
}

# ease DIR — units that mount credentials, which fails under QEMU 7.2 and which nobody gives them here.
ease() {
    for unit in systemd-sysctl systemd-sysusers systemd-tmpfiles-clean systemd-tmpfiles-setup systemd-tmpfiles-setup-dev; do
        mkdir -p "$1/etc/systemd/system/$unit.service.d"
        printf '[Service]\nLoadCredential=\nSetCredential=\n' >"$1/etc/systemd/system/$unit.service.d/qemu.conf"
    done
}

case ${1:-} in
'' | -h | --help)
    sed -n 's/^# \{0,1\}//; 2,3p' "$0"
    exit 2
    ;;
--inputs)
    sh "$here/rootfs.sh" --inputs
    ;;
*)
    sh "$here/rootfs.sh" "$1" arm64
    age "$1"
    ease "$1"
    ;;
esac
