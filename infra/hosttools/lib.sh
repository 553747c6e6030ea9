# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # what is set here is used by the other files, and the other way round
# lib.sh — what every verb shares: where things are, how they speak, how a sheet is read.

root=${POLLEX_ROOT:-/opt/pollex}
# Folders that tests move out of the machine's way; units and users know the defaults.
unit_dir=${POLLEX_UNIT_DIR:-/etc/systemd/system}
bin_dir=${POLLEX_BIN_DIR:-/usr/local/bin}
# Seconds between progress lines.
poll=${POLLEX_POLL:-20}
tab=$(printf '\t')

# use NAME… — read more of these tools.
use() {
    for part in "$@"; do
        # shellcheck source=/dev/null
        . "$here/$part.sh"
    done
}

# say TEXT — a line of progress; that nobody reads it any more is no error.
say() {
    printf '%s\n' "$1" >&2 || :
}

# die CODE LINE… — the reason, then what to do; the codes are those of `usage`.
die() {
    code=$1
    shift
    printf 'pollex: %s\n' "$@" >&2 || :
    exit "$code"
}

# need_root_folder — a first write that explains itself.
need_root_folder() {
    { mkdir -p "$root" && [ -w "$root" ]; } 2>/dev/null ||
        die 1 "cannot write to $root: run pollex-host as root (pollex:host.sudo)"
}

now() {
    date +%s
}

# duration SECONDS — for people: 40 s, 12 min, 1 h 25 min.
duration() {
    if [ "$1" -lt 100 ]; then
        printf '%s s' "$1"
    elif [ "$1" -lt 6000 ]; then
        printf '%s min' $((($1 + 30) / 60))
    else
        printf '%s h %s min' $(($1 / 3600)) $(($1 % 3600 / 60))
    fi
}

# free_mb PATH — free space on the file system of PATH, in MB.
free_mb() {
    df -Pk -- "$1" | awk 'NR == 2 { print int($4 / 1024) }'
}

# file_size PATH — bytes, 0 if there is no such file.
file_size() {
    stat -L -c %s -- "$1" 2>/dev/null || echo 0
}

# sha256_of PATH
sha256_of() {
    sha256sum <"$1" | cut -c -64
}

# one_key TEXT — is it 32 hex digits?
is_key() {
    case $1 in *[!0-9a-f]*) return 1 ;; esac
    [ ${#1} -eq 32 ]
}

# is_name TEXT — is it a plain file name?
is_name() {
    case $1 in '' | .* | *[!A-Za-z0-9._@-]*) return 1 ;; esac
}

# whole_text — what is not UTF-8 is left out and long lines are cut, so that any consumer can read it.
whole_text() {
    cut -c -500 | iconv -c -f UTF-8 -t UTF-8 || :
}

# link_to TARGET PATH — a symbolic link, put there in one step whatever stood there before.
link_to() {
    ln -sfn -- "$1" "$2.pollex-new"
    mv -fT -- "$2.pollex-new" "$2"
}

# write_file PATH — stdin, put there in one step.
write_file() {
    cat >"$1.pollex-new"
    mv -fT -- "$1.pollex-new" "$1"
}

# json — turns lines of tab-separated fields into one JSON object on one line:
#   string KEY VALUE · number KEY VALUE · in OBJECT KEY VALUE · in# OBJECT KEY NUMBER · array KEY · item ARRAY VALUE · object KEY
json() {
    iconv -c -f UTF-8 -t UTF-8 | awk -F "$tab" -f "$here/json.awk"
}

# unpack_sheet FOLDER — writes each section of the sheet on stdin as a file of FOLDER.
unpack_sheet() {
    (cd "$1" && awk -f "$here/sheet.awk") || die 2 "stdin is not a sheet that can be used"
}

# load_sheet FOLDER KIND — sets the variables of a sheet's `env`, after checking those that become paths.
# KIND may offer a choice: 'model or quantised'.
load_sheet() {
    kind='' key='' name='' id=''
    commit='' tree='' number='' mirrors='' target='' flags='' packages='' jobs=auto sparse='' substituters=''
    file='' size='' sha256='' adopt='' arguments='' type=''
    [ -f "$1/env" ] || die 2 "the sheet has no section 'env'"
    # shellcheck source=/dev/null
    . "$1/env"
    case " $2 " in
    *" $kind "*) ;;
    *) die 2 "this is a sheet of kind '$kind'; '$verb' takes kind '$2'" ;;
    esac
    [ "$2" != generation ] || return 0
    is_key "$key" || die 2 "the sheet's key is '$key', not 32 hex digits"
    is_name "$name" || die 2 "the sheet's name '$name' is not a plain file name"
    store=$root/store/$key-$name
    work=$root/build/$key
    log=$root/log/$key.log
    label="$name $(printf %.6s "$key")…"
}

# find_sheet KEY — the folder of a kept sheet.
find_sheet() {
    is_key "$1" || die 2 "'$1' is not a key: 32 hex digits"
    for drv in "$root/drv/$1"-*; do
        [ ! -d "$drv" ] || return 0
    done
    die 2 "there is no sheet for $1 under $root/drv: pass the sheet on stdin"
}

# take_sheet KIND [KEY] — from stdin, kept in drv/ so that the path can be made again; or the kept one.
take_sheet() {
    need_root_folder
    if [ $# -gt 1 ]; then
        [ $# -eq 2 ] || die 2 "'$verb' takes at most one key"
        find_sheet "$2"
        load_sheet "$drv" "$1"
        return
    fi
    incoming=$root/drv/.new.$$
    rm -rf -- "$incoming"
    mkdir -p "$incoming"
    trap 'rm -rf -- "$incoming"' EXIT
    unpack_sheet "$incoming"
    load_sheet "$incoming" "$1"
    drv=$root/drv/$key-$name
    keep_folder "$incoming" "$drv"
    trap - EXIT
}

# keep_folder NEW PLACE — NEW becomes PLACE unless PLACE says the same already.
keep_folder() {
    if [ -d "$2" ] && diff -rq -- "$1" "$2" >/dev/null; then
        rm -rf -- "$1"
        return
    fi
    rm -rf -- "$2.old"
    [ ! -d "$2" ] || mv -T -- "$2" "$2.old"
    mv -T -- "$1" "$2"
    rm -rf -- "$2.old"
}

# report HOW — the JSON line of ensure and ensure-model.
report() {
    printf 'string\tkey\t%s\nstring\tname\t%s\nstring\tpath\t%s\nstring\thow\t%s\nnumber\tseconds\t%s\n' \
        "$key" "$name" "$store" "$1" $(($(now) - begun)) | json
}
