# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables are set or read by lib.sh
# bundle.sh — programs that are packed elsewhere: they are there, or a substituter or the archive has them, or their
# archive is received. A bundle is an archive of a sealed store path, as `export` writes it.

ensure_bundle() {
    begun=$(now)
    take_sheet bundle "$@"
    if [ -d "$store" ]; then
        how=present
    elif substitute; then
        how=substituted
    elif restore; then
        how=restored
    else
        die 10 "$label is not on this host, and no substituter has it: it is packed where pulumi runs"
    fi
    keep_archive
    say "$label: $how"
    report "$how"
}

# keep_archive — so that a damaged store path can be made again where no substituter is at hand then.
keep_archive() {
    archive=$root/archive/$key-$name.tar.gz
    { [ ! -f "$archive" ] && [ "$(store_state "$store")" = intact ]; } || return 0
    mkdir -p "$root/archive"
    if pack "$root/store" "$key-$name" >"$archive.new"; then
        mv -- "$archive.new" "$archive"
    else
        rm -f -- "$archive.new"
        say "$label: no archive of it is kept, where $(free_mb "$root") MB are free"
    fi
}

# receive KEY — the archive is kept, so that a damaged store path can be made again.
receive() {
    begun=$(now)
    [ $# -eq 1 ] || die 2 "'receive' takes one key"
    take_sheet bundle "$1"
    mkdir -p "$root/archive"
    incoming=$root/archive/.$key-$name.$$
    trap 'rm -f -- "$incoming"' EXIT
    trap 'exit 143' HUP INT TERM
    cat >"$incoming" || die 6 "the archive of $label cannot be kept in $root/archive, where $(free_mb "$root") MB are free"
    why=$(unpack_into_store "$incoming") || refuse "$why"
    sync -f "$incoming"
    mv -fT -- "$incoming" "$root/archive/$key-$name.tar.gz"
    say "$label: received"
    report received
}

# refuse WHY — a whole archive is not to blame for a disk that cannot hold what is in it.
refuse() {
    unpacked=$(($(gzip -dc <"$incoming" 2>/dev/null | wc -c) / 1048576 + 1))
    free=$(free_mb "$root")
    if [ "$unpacked" -ge "$free" ] && gzip -t <"$incoming" 2>/dev/null; then
        die 6 "$label needs $unpacked MB at $root, and $free MB are free: make room (pollex-host gc)"
    fi
    die 3 "the archive of $label is refused: $1"
}
