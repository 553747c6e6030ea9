# board.sh — what `make board` asks and changes on a host; everything it does can be done again, and undone.
#
#   sh board.sh look                         print facts as `pollex NAME=VALUE`; changes nothing
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

fact() { printf 'pollex %s=%s\n' "$1" "$2"; }

case ${1:?look, prepare, cmake or undo} in
look)
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
    fact clock "$(date +%s)"
    fact end yes
    ;;
prepare)
    [ -z "$3" ] || date -u -s "@$3" >/dev/null
    if [ "$2" != root ]; then
        new=$(mktemp)
        trap 'rm -f -- "$new"' EXIT
        # installing units and packages is all that root may do, so a shorter list would only look like less; it is for
        # root alone, and for no other account
        printf '%s\n' "# written by pollex: make board" "$2 ALL=(root) NOPASSWD: ALL" >"$new"
        ! command -v visudo >/dev/null || visudo -c -q -f "$new"
        install -m 0440 -- "$new" "$sudoers.new" # a name with a dot is not read by sudo
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
    ! grep -q '^# written by pollex' "$sudoers" 2>/dev/null || rm -f -- "$sudoers"
    ;;
*)
    echo "board.sh: look, prepare, cmake or undo, not $1" >&2
    exit 2
    ;;
esac
