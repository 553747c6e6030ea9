# board.sh — what `make board` asks and changes on a host; everything it does can be done again, and undone.
#
#   sh board.sh look                         print facts as `pollex NAME=VALUE`; changes nothing
#   sh board.sh let-in KEY                   let a public key in to this login, with a mark behind it
#   sh board.sh let-out KEY                  take that line away again; one without the mark stays
#   sh board.sh prepare USER CLOCK           as root: let USER use sudo without a password; CLOCK (seconds since 1970,
#                                            empty: leave it) is what the clock is set to
#   sh board.sh cmake VERSION <ARCHIVE       as root: a CMake of its own below /opt/pollex
#   sh board.sh undo                         as root: take both away
set -eu
LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL PATH
umask 022
sudoers=${POLLEX_SUDOERS:-/etc/sudoers.d}/pollex
root=${POLLEX_ROOT:-/opt/pollex}
mark=pollex-make-board

fact() { printf 'pollex %s=%s\n' "$1" "$2"; }

case ${1:?look, let-in, let-out, prepare, cmake or undo} in
look)
    # what a login's start files print may lack its line end
    echo
    fact user "$(id -un)"
    fact architecture "$(uname -m)"
    fact machine "$(tr -d '\0' 2>/dev/null </proc/device-tree/model || uname -n)"
    fact os "$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release 2>/dev/null || :)"
    fact jetpack "$(head -n 1 /etc/nv_tegra_release 2>/dev/null || :)"
    fact memoryMb "$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)"
    place=$root
    while [ ! -d "$place" ]; do place=$(dirname -- "$place"); done
    fact freeMb "$(df -Pk -- "$place" | awk 'NR == 2 { print int($4 / 1024) }')"
    fact power "$(nvpmodel -q 2>/dev/null | sed -n 's/^NV Power Mode: //p' || :)"
    fact cmake "$(PATH="$root/cmake/bin:$PATH" cmake --version 2>/dev/null | sed -n '1s/.* //p' || :)"
    [ ! -x /usr/local/cuda/bin/nvcc ] || fact nvcc yes
    [ ! -d /run/systemd/system ] || fact systemd yes
    command -v sudo >/dev/null || fact nosudo yes
    if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then fact root yes; fi
    # the last mount of a place is the one that counts
    [ "$(awk '$2 == "/" { how = substr($4, 1, 2) } END { print how }' /proc/mounts)" != ro ] || fact readonly yes
    fact gateways "$(ip route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | sort -u | tr '\n' ' ')"
    fact target "$(systemctl get-default 2>/dev/null || :)"
    [ ! -e "$root/current" ] || fact serving yes
    fact clock "$(date +%s)"
    fact end yes
    ;;
let-in)
    umask 077
    cd
    mkdir -p .ssh
    grep -qF -- "$2" .ssh/authorized_keys 2>/dev/null || printf '%s %s\n' "$2" "$mark" >>.ssh/authorized_keys
    ;;
let-out)
    cd
    file=.ssh/authorized_keys
    grep -qxF -- "$2 $mark" "$file" 2>/dev/null || exit 0
    umask 077
    grep -vxF -- "$2 $mark" "$file" >"$file.new" || [ $? -eq 1 ]
    mv -f -- "$file.new" "$file"
    ;;
prepare)
    [ -z "$3" ] || date -u -s "@$3" >/dev/null
    if [ "$2" != root ]; then
        # what is sent to the host is run as root, so less than everything would only look like less
        printf '%s\n' "# written by pollex: make board" "$2 ALL=(root) NOPASSWD: ALL" >"$sudoers.new"
        chmod 0440 "$sudoers.new" # a name with a dot is not read by sudo
        if command -v visudo >/dev/null && ! visudo -c -q -f "$sudoers.new"; then
            rm -f -- "$sudoers.new"
            exit 1
        fi
        mv -f -- "$sudoers.new" "$sudoers"
    fi
    ;;
cmake)
    mkdir -p "$root"
    rm -rf -- "$root/.cmake.new"
    trap 'rm -rf -- "$root/.cmake.new"' EXIT
    mkdir "$root/.cmake.new"
    tar -xz -C "$root/.cmake.new" --no-same-owner -f -
    said=$("$root/.cmake.new/bin/cmake" --version)
    case $said in
    "cmake version $2"*) ;;
    *)
        echo "the CMake that was brought does not say that it is $2 but: $said" >&2
        exit 1
        ;;
    esac
    rm -rf -- "$root/cmake"
    mv -T -- "$root/.cmake.new" "$root/cmake"
    ;;
undo)
    rm -rf -- "$root/cmake"
    rmdir -- "$root" 2>/dev/null || :
    ! grep -q '^# written by pollex' "$sudoers" 2>/dev/null || rm -f -- "$sudoers"
    ;;
*)
    echo "board.sh: look, let-in, let-out, prepare, cmake or undo, not $1" >&2
    exit 2
    ;;
esac
