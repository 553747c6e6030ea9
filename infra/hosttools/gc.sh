# shellcheck shell=sh
# shellcheck disable=SC2154 # the variables of the tools are set by lib.sh
# gc.sh — what no kept generation needs is deleted; a finished build is exported for others.

use status

gc() {
    keep=2 dry_run=''
    while [ $# -gt 0 ]; do
        case $1 in
        --keep)
            keep=${2:-}
            shift
            ;;
        --dry-run) dry_run=yes ;;
        *) die 2 "'gc' takes --keep N and --dry-run, not '$1'" ;;
        esac
        [ $# -eq 0 ] || shift
    done
    case $keep in '' | *[!0-9]*) die 2 "--keep takes a number of former generations, not '$keep'" ;; esac
    need_root_folder
    mkdir -p "$generations"
    exec 9<"$generations"
    flock -n 9 || die 9 "an activation is running: try again when it is done"
    deleted=''
    freed=0
    kept=$(kept_generations)
    needed=$(for id in $kept; do stores_of "$id"; done | sort -u)
    for path in "$generations"/* "$generations"/.n*; do
        is_kept "$kept" "${path##*/}" || delete_folder "$path"
    done
    for path in "$root"/store/* "$root"/drv/*; do
        is_kept "$needed" "${path##*/}" || delete_unless_built "$path"
    done
    delete_leftovers
    for path in "$root"/archive/*; do
        name=${path##*/}
        is_kept "$needed" "${name%.tar.gz}" || delete "$path"
    done
    for path in "$root"/build/*; do
        delete_unless_built "$path"
    done
    for path in "$root"/lib/* "$root"/lib/.n*; do
        [ "$path" = "$(readlink -f "$root/bin")" ] || delete_folder "$path"
    done
    say "$([ -n "$dry_run" ] && echo 'would free' || echo freed) $((freed / 1024)) MB"
    {
        printf 'number\tfreedMb\t%s\narray\tdeleted\n' $((freed / 1024))
        printf '%s' "$deleted" | sed "s/^/item${tab}deleted${tab}/"
    } | json
}

# kept_generations — the live one, and the last `keep` others.
kept_generations() {
    live=$(current)
    [ -z "$live" ] || printf '%s\n' "$live"
    [ ! -f "$generations/pending" ] || cat "$generations/pending"
    history | grep -vxF -- "${live:-/}" | tail -n "$keep"
}

# is_kept LIST NAME
is_kept() {
    printf '%s\n' "$1" | grep -qxF -- "$2"
}

# delete PATH — or says that it would.
delete() {
    [ -e "$1" ] || return 0
    freed=$((freed + $(du -sk -- "$1" | cut -f 1)))
    deleted="$deleted${1#"$root"/}
"
    say "$([ -n "$dry_run" ] && echo 'would delete' || echo deleting) ${1#"$root"/}"
    [ -n "$dry_run" ] || rm -rf -- "$1"
}

delete_folder() {
    [ ! -d "$1" ] || delete "$1"
}

# delete_unless_built PATH — leaves alone what a build or download of that key works on, or will after a reboot.
delete_unless_built() {
    made=$(printf '%.32s' "${1##*/}")
    if [ -e "$unit_dir/multi-user.target.wants/pollex-build@$made.service" ] ||
        { [ -d "$root/build/$made" ] && ! flock -n "$root/build/$made" true; }; then
        say "left alone: ${1#"$root"/} is being made"
        return
    fi
    delete "$1"
}

# delete_leftovers — what runs that were cut left half done; an hour old, so that no running one has it.
delete_leftovers() {
    for folder in store archive drv; do
        [ ! -d "$root/$folder" ] || find "$root/$folder" -mindepth 1 -maxdepth 1 -name '.*' -mmin +60
    done >"$root/gc.list"
    while IFS= read -r path <&3; do
        delete "$path"
    done 3<"$root/gc.list"
    rm -f -- "$root/gc.list"
}

# export KEY-NAME — export is a word of the shell, so the verb is called by another name.
export_path() {
    { [ $# -eq 1 ] && is_name "$1"; } || die 2 "'export' takes the name of a store path: KEY-NAME"
    [ ! -t 1 ] || die 2 "'export' writes an archive to stdout: direct it to a file or a pipe"
    state=$(store_state "$root/store/$1")
    [ "$state" = intact ] || die 1 "$root/store/$1 is $state"
    pack "$root/store" "$1"
}
