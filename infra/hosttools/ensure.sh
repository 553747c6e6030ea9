# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables are set or read by lib.sh
# ensure.sh — makes a build exist: it is there, or a substituter or the archive has it, or the host builds it.

ensure() {
    begun=$(now)
    take_sheet build "$@"
    make_build_exist
    report "$how"
}

# make_build_exist — sets `how`; ends with the exit status of the build when that fails.
make_build_exist() {
    if [ -d "$store" ]; then
        how=present
    elif building; then
        how=built
        say "$label: attached to the running build"
        follow
    elif substitute; then
        how=substituted
    elif restore; then
        how=restored
    else
        how=built
        start_build
        follow
    fi
    say "$label: $how"
}

# substitute — from the first substituter that has the path; any failure is one line, and the next is asked.
substitute() {
    while IFS= read -r base <&3; do
        [ -n "$base" ] || continue
        url=${base%/}/$key-$name.tar.gz
        why=$(substitute_from "$url" 3<&-) && return
        case $why in
        *'error: 404'*) say "$label: no finished build at $base" ;;
        *) say "$label: not from $url: $why" ;;
        esac
    done 3<<END
$substituters
END
    return 1
}

substitute_from() {
    mkdir -p "$root/store"
    part=$root/store/.substitute-$key.$$
    status=1
    if get "$1.sha256" "$part.sha256" && get "$1" "$part"; then
        IFS=' ' read -r wanted _ <"$part.sha256" || :
        got=$(sha256_of "$part")
        if [ "$got" != "$wanted" ]; then
            echo "its SHA-256 is $got, wanted $wanted"
        elif unpack_into_store "$part"; then
            status=0
        fi
    fi
    rm -f -- "$part" "$part.sha256"
    return "$status"
}

# get URL FILE — prints curl's reason when it fails.
get() {
    curl -fsSL --connect-timeout 10 --retry 2 --speed-limit 1000 --speed-time 60 -o "$2" -- "$1" 2>&1
}

# restore — from this host's own archive.
restore() {
    archive=$root/archive/$key-$name.tar.gz
    [ -f "$archive" ] || return
    why=$(unpack_into_store "$archive") && return
    say "$label: not from $archive: $why"
    rm -f -- "$archive"
    return 1
}

# start_build — as a unit of this host, so that it outlives the session and, enabled, a reboot.
start_build() {
    unit=pollex-build@$key.service
    [ -d /run/systemd/system ] || die 1 "this host does not run systemd, which a build needs to outlive its session" \
        "build it in the foreground: pollex-host build $key"
    [ -e "$unit_dir/pollex-build@.service" ] || die 1 "$unit_dir/pollex-build@.service is missing: run pollex-host prepare"
    [ ! -f "$work/state" ] || ! grep -q '^failed ' "$work/state" || rm -f -- "$work/state"
    systemctl reset-failed "$unit" 2>/dev/null || :
    systemctl enable -q "$unit"
    systemctl start --no-block "$unit"
    say "$label: build started"
    begins=0
    # The job is queued, so for a moment neither the unit nor the lock shows it.
    until building || [ -d "$store" ] || [ -f "$work/state" ] || [ "$begins" -ge 30 ]; do
        begins=$((begins + 1))
        sleep 1
    done
}
