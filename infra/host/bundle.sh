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
    say "$label: $how"
    report "$how"
}

# receive KEY — the archive is kept, so that a damaged store path can be made again.
receive() {
    begun=$(now)
    [ $# -eq 1 ] || die 2 "'receive' takes one key"
    take_sheet bundle "$1"
    mkdir -p "$root/archive"
    incoming=$root/archive/.$key-$name.$$
    trap 'rm -f -- "$incoming"' EXIT
    cat >"$incoming" || die 6 "the archive of $label cannot be kept in $root/archive, where $(free_mb "$root") MB are free"
    [ -d "$store" ] || why=$(unpack_into_store "$incoming") || die 3 "the archive of $label is refused: $why"
    sync -f "$incoming"
    mv -fT -- "$incoming" "$root/archive/$key-$name.tar.gz"
    say "$label: received"
    report received
}
