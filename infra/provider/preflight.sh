# Gathers the facts that decide whether a host can take pollex; changes nothing.
#
# By hand:  ssh HOST sh -s < infra/provider/preflight.sh
# The provider puts assignments in front of this text: sudo (yes or empty), and lists with one item
# a line: commands, ports, packages, users, programs. Facts are printed as `pollex NAME=VALUE`, so that
# what a login script prints beside them does no harm.
set -u
sudo=${sudo:-} commands=${commands:-} ports=${ports:-} packages=${packages:-} users=${users:-} programs=${programs:-}
LC_ALL=C
PATH=/opt/pollex/cmake/bin:$PATH:/usr/sbin:/sbin
export LC_ALL PATH

fact() { printf 'pollex %s=%s\n' "$1" "$2"; }

# as_root COMMAND… — with what was declared: sudo, or the login itself.
as_root() {
    if [ -n "$sudo" ]; then sudo -n "$@"; else "$@"; fi
}

# existing PATH — the deepest directory above PATH that is there.
existing() {
    path=$1
    while [ ! -d "$path" ]; do path=$(dirname -- "$path"); done
    printf '%s\n' "$path"
}

# socket_inodes PORT — the inodes of the TCP sockets that listen on PORT (state 0A), on IPv4 and IPv6.
socket_inodes() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$(printf ':%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }'
}

# cgroup PID — the control group that systemd put a process in; its last part names the unit.
cgroup() {
    awk -F: '$2 == "name=systemd" || $1 == "0" && group == "" { group = $3 } END { print group }' "/proc/$1/cgroup"
}

# holder PORT — `PID NAME CGROUP` of the process that listens on PORT, `?` if it cannot be seen, nothing if none does.
holder() {
    found=
    for inode in $(socket_inodes "$1"); do
        found='?'
        pid=$(as_root find /proc/[0-9]*/fd -lname "socket:\\[$inode\\]" 2>/dev/null | awk -F/ 'NR == 1 { print $3 }')
        [ -n "$pid" ] || continue
        found="$pid $(cat "/proc/$pid/comm") $(cgroup "$pid")"
        break
    done
    printf '%s\n' "$found"
}

fact user "$(id -un)"
fact uid "$(id -u)"
fact architecture "$(uname -m)"
fact kernel "$(uname -r)"
fact os "$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release 2>/dev/null)"
fact machine "$(tr -d '\0' 2>/dev/null </proc/device-tree/model || cat /sys/class/dmi/id/product_name 2>/dev/null || uname -n)"
fact cores "$(getconf _NPROCESSORS_ONLN)"
fact memoryMb "$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)"

directory=$(existing /opt/pollex)
fact freeMb "$(df -Pk -- "$directory" | awk 'NR == 2 { print int($4 / 1024) }')"
fact mount "$(df -Pk -- "$directory" | awk 'NR == 2 { print $6 }')"
fact ownMb "$(du -sxk /opt/pollex 2>/dev/null | awk '{ print int($1 / 1024) }')"

[ -d /run/systemd/system ] && fact systemd yes
fact init "$(cat /proc/1/comm 2>/dev/null)"
if command -v sudo >/dev/null; then
    if reason=$(sudo -n true 2>&1); then fact sudo yes; else fact sudo "no: $(printf '%s' "$reason" | head -n 1)"; fi
else
    fact sudo missing
fi
command -v apt-get >/dev/null && fact apt yes
fact python "$(python3 -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"

for name in $commands; do
    command -v "$name" >/dev/null || fact missing "$name"
done
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || fact uninstalled "$package"
done
for port in $ports; do
    process=$(holder "$port")
    [ -z "$process" ] || fact port "$port $process"
done
for user in $users; do
    id -u -- "$user" >/dev/null 2>&1 || fact nouser "$user"
done
for name in $programs; do
    command -v "$name" >/dev/null || fact noprogram "$name"
done
fact identity "$(cat /opt/pollex/id 2>/dev/null)"
fact owner "$(cat /opt/pollex/owner.json 2>/dev/null)"
fact end yes
