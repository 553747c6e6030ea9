# deliver.sh — brings pollex-host to a host that may have nothing yet but a shell, tar and gzip. As root:
#
#   sh deliver.sh tools PACKAGE… <ARCHIVE    the tools unpack, install themselves, and the packages that are missing
#   sh deliver.sh python SHA256 <ARCHIVE     a standalone CPython (install_only) that the tools then run on
#   sh deliver.sh which                      print the hash of the tools in force, if nothing of them is missing
set -eu
root=/opt/pollex
umask 022

case ${1:?tools, python or which} in
tools)
    shift
    # gc deletes what a cut delivery leaves under such a name
    new=$root/lib/.new.delivered.$$
    trap 'rm -rf -- "$new"' EXIT
    trap 'exit 143' HUP INT TERM
    mkdir -p "$new"
    tar -xz -C "$new" -f -
    sh "$new/pollex-host" prepare "$@" </dev/null
    ;;
python)
    new=$root/lib/.new.python.$$
    trap 'rm -rf -- "$new"' EXIT
    trap 'exit 143' HUP INT TERM
    mkdir -p "$new"
    cat >"$new/archive"
    echo "$2  $new/archive" | sha256sum -c >/dev/null || {
        echo "pollex: the interpreter arrived with other bytes than pollex:polish.python.sha256 says" >&2
        exit 3
    }
    # without what no tool imports, which is half of its size
    tar -xz -C "$new" -f "$new/archive" --exclude=python/include --exclude=python/share --exclude='*/test' \
        --exclude='*/idlelib' --exclude='*/tkinter' --exclude='*/ensurepip' --exclude='*/config-*' --no-same-owner
    place=$root/lib/python-$(printf %.16s "$2")
    sync
    rm -rf -- "$place"
    mv -T -- "$new/python" "$place"
    ;;
which)
    [ -x $root/bin/python ] && [ -x /usr/local/bin/pollex-host ] && [ -e /etc/systemd/system/pollex-build@.service ] || exit 0
    tools=$(readlink $root/bin)
    echo "${tools#lib/}"
    ;;
*)
    echo "deliver.sh: tools, python or which, not $1" >&2
    exit 2
    ;;
esac
