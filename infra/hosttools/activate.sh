# shellcheck shell=sh
# shellcheck disable=SC2154 # the variables of the sheet and of the tools are set by lib.sh
# activate.sh — makes a generation live behind its gate, and returns to the former one when it is unhealthy.
#
# The live map drives it: what is observed is compared with what should be, and only what differs is mended. So a
# second activation, drift, a killed activation and a way back are all the same act.

# Seconds to wait for another activation: longer than any gate and the way back from it should take.
lock_wait=600

activate() {
    [ $# -eq 0 ] || die 2 "'activate' takes a sheet on stdin and no argument"
    need_root_folder
    lock_generations
    new=$notes/generation
    mkdir "$new"
    # The content of files may be for root's eyes only.
    (umask 077 && unpack_sheet "$new") || exit
    chmod -R u=rwX,go=rX "$new"
    [ ! -d "$new/content" ] || chmod 700 "$new/content"
    load_sheet "$new" generation
    is_name "$id" || die 2 "the sheet's id '$id' is not a plain name"
    check_files "$new"
    keep_folder "$new" "$generations/$id"
    switch_to "$id"
}

rollback() {
    [ $# -le 1 ] || die 2 "'rollback' takes at most one generation"
    lock_generations
    if [ $# -eq 1 ]; then
        { is_name "$1" && [ -d "$generations/$1" ]; } || die 2 "there is no generation '$1'; there are: $(history | tr '\n' ' ')"
        id=$1
    else
        live=$(current)
        id=$(history | grep -vxF -- "$live" | tail -n 1) || die 1 "there is no former generation to return to"
    fi
    check_files "$generations/$id"
    switch_to "$id"
}

# check_files SHEET — every file that the generation places is in its sheet, whole.
check_files() {
    [ -f "$1/files" ] || return 0
    while IFS=$tab read -r _ path mode name hash <&4; do
        is_name "$name" || die 2 "the sheet's file '$name' is not a plain file name"
        case $path/ in
        [!/]* | *//* | */./* | */../*) die 2 "the sheet places a file at '$path', which is not a plain absolute path" ;;
        esac
        case $mode in [0-7][0-7][0-7]) ;; *) die 2 "the sheet gives $path the mode '$mode', not three octal digits" ;; esac
        [ -f "$1/content/$name" ] || die 2 "the sheet has no content/$name, which $path is to hold"
        [ "$(sha256_of "$1/content/$name")" = "$hash" ] || die 2 "the sheet's content/$name is not what its hash says"
    done 4<"$1/files"
}

# lock_generations — one activation at a time; also makes the folder for this one's notes.
lock_generations() {
    mkdir -p "$generations" "$root/found"
    exec 9<"$generations"
    flock -n 9 || {
        say "waiting for another activation, or tune, to end"
        flock -w "$lock_wait" 9 || die 9 "another activation, or tune, is still running after $(duration "$lock_wait")"
    }
    notes=$(mktemp -d "$generations/.notes.XXXXXX")
    trap 'rm -rf -- "$notes"' EXIT
    trap 'exit 143' INT TERM
    # Whoever asked may go: what was begun ends healthy, or is taken back.
    trap '' HUP PIPE
    : >"$notes/changed"
    : >"$notes/stores"
}

# switch_to ID — and back, if it must be. While it runs, generations/pending holds the generation it came from, so
# that after a power cut the next activation restarts what may still run the old text and knows the way back.
switch_to() {
    former=$(current)
    interrupted=''
    if [ -f "$generations/pending" ]; then
        former=$(cat "$generations/pending")
        interrupted=yes
    fi
    find_differences "$1"
    clear_places
    mend_stores
    printf '%s\n' "$former" | write_file "$generations/pending"
    make_live "$1" "$former"
    if pass_gates "$generations/$1"; then
        rm -f -- "$generations/pending"
        [ "$(tail -n 1 "$generations/log" 2>/dev/null | cut -f 2)" = "$1" ] || printf '%s\t%s\n' "$(now)" "$1" >>"$generations/log"
        say "generation $1 is live: $(wc -l <"$notes/changed") changed"
        observed "$1" "$notes/stores" | report_status "$notes/changed"
        return
    fi
    go_back "$1" "$former"
}

# go_back FAILED FORMER — ends with 7.
go_back() {
    if [ "$2" = "$1" ]; then
        die 7 "generation $1 is unhealthy, and there is no other to return to: it was live before"
    elif [ -z "$2" ] || [ ! -d "$generations/$2" ]; then
        say "generation $1 is unhealthy: putting back what was found"
        release_everything
        rm -f -- "$generations/pending"
        die 7 "generation $1 is unhealthy; nothing of it is in service"
    fi
    say "generation $1 is unhealthy: returning to $2"
    interrupted=''
    find_differences "$2"
    make_live "$2" "$1"
    if pass_gates "$generations/$2"; then
        rm -f -- "$generations/pending"
        die 7 "generation $1 is unhealthy; returned to $2, which is healthy"
    fi
    die 7 "generation $1 is unhealthy; returned to $2, which is unhealthy too"
}

# find_differences ID — writes the items that are not as they should be into $notes/wrong.
find_differences() {
    desired "$1" >"$notes/desired"
    observed "$1" "$notes/stores" >"$notes/observed"
    sed -n 's/^store //p' "$notes/observed" >"$notes/stores"
    awk -F "$tab" 'NR == FNR { is[$1] = $0; next } is[$1] != $0 { print $1 }' "$notes/observed" "$notes/desired" >"$notes/wrong"
}

# differs ITEM
differs() {
    grep -qxF -- "$1" "$notes/wrong"
}

# clear_places — an empty folder in the place of a link or file of ours gives way; another one is somebody's.
clear_places() {
    sed -n 's/^link //p; s/^file //p' "$notes/wrong" >"$notes/places"
    while IFS= read -r path <&4; do
        { [ -d "$path" ] && [ ! -L "$path" ]; } || continue
        is_ours link "$path" || is_ours file "$path" || continue
        rmdir -- "$path" 2>/dev/null || die 1 "$path is a folder now: move it away, so that what belongs there can be put back"
    done 4<"$notes/places"
}

# mend_stores — makes missing and damaged store paths again, from their kept sheets, before anything is touched.
mend_stores() {
    [ -s "$notes/wrong" ] || return 0
    sed -n 's/^store //p' "$notes/wrong" >"$notes/broken"
    while IFS= read -r path <&5; do
        say "$path is $(sed -n "s/^$path$tab//p" "$notes/stores"): making it again"
        drv=$root/drv/$path
        [ -f "$drv/env" ] || die 1 "there is no sheet at $drv to make it from: run the deployment again"
        damaged=$root/store/.damaged-$path.$$
        [ ! -d "$root/store/$path" ] || mv -T -- "$root/store/$path" "$damaged"
        make_again "$drv" || {
            status=$?
            # Better a damaged one than none, for what is in service.
            [ ! -d "$damaged" ] || mv -T -- "$damaged" "$root/store/$path"
            exit "$status"
        }
        rm -rf -- "$damaged"
        printf '%s\t%s\n' "$path" "$(store_state "$root/store/$path")" >>"$notes/stores"
    done 5<"$notes/broken"
}

# make_again SHEET
make_again() {
    key=${1##*/}
    key=${key%%-*}
    # shellcheck source=/dev/null
    case $(. "$1/env" && printf '%s' "$kind") in
    model | quantised) sh "$here/pollex-host" ensure-model "$key" ;;
    bundle) sh "$here/pollex-host" ensure-bundle "$key" ;;
    *) sh "$here/pollex-host" ensure "$key" ;;
    esac >/dev/null 5<&- 9<&-
}

# make_live ID FORMER — acts on the differences and nothing else.
make_live() {
    cat "$notes/wrong" >>"$notes/changed"
    choose_restarts "$1" "$2"
    release_what_is_gone "$1"
    reload=''
    for unit in $(units_of "$1"); do
        if differs "unit $unit"; then
            claim_unit "$unit"
            write_file "$unit_dir/$unit" <"$generations/$1/units/$unit"
            reload=yes
        fi
    done
    if [ -f "$generations/$1/links" ]; then
        while IFS=$tab read -r path target <&4; do
            [ -n "$path" ] || continue
            ! differs "link $path" || place_link "$target" "$path"
        done 4<"$generations/$1/links"
    fi
    place_files "$1"
    ! differs generation || link_to "generations/$1" "$root/current"
    [ -z "$reload" ] || systemctl daemon-reload
    start_units "$1"
}

# place_link TARGET PATH
place_link() {
    claim_link "$2"
    link_to "$1" "$2"
}

# place_files ID — each with its mode from the first moment on.
place_files() {
    [ -f "$generations/$1/files" ] || return 0
    while IFS=$tab read -r _ path mode name _ <&4; do
        differs "file $path" || continue
        claim_file "$path"
        rm -f -- "$path.pollex-new"
        install -m "$mode" -- "$generations/$1/content/$name" "$path.pollex-new"
        mv -fT -- "$path.pollex-new" "$path"
    done 4<"$generations/$1/files"
}

# start_units ID — enables what is not enabled, restarts what must run anew.
start_units() {
    for unit in $(units_of "$1"); do
        if differs "service $unit"; then
            systemctl enable -q "$unit"
        fi
    done
    while IFS= read -r unit <&4; do
        say "restarting $unit"
        systemctl reset-failed "$unit" 2>/dev/null || :
        # Whether it comes up is for the gate to say.
        systemctl restart "$unit" || :
    done 4<"$notes/restarts"
}

# choose_restarts ID FORMER — writes into $notes/restarts the units whose process does not run what it should:
# other text, other store paths or files, one of them or a link that was mended, not active, or unknown after an
# interruption.
choose_restarts() {
    for unit in $(units_of "$1"); do
        if [ -n "$interrupted" ] || differs "unit $unit" || must_start "$unit" ||
            [ "$(rows_of needs "$1" "$unit")" != "$(rows_of needs "$2" "$unit")" ] || needs_mended "$1" "$unit" ||
            [ "$(rows_of files "$1" "$unit")" != "$(rows_of files "$2" "$unit")" ] || files_mended "$1" "$unit"; then
            printf '%s\n' "$unit"
        fi
    done >"$notes/restarts"
}

# must_start UNIT — is it anything but active? To be disabled is no reason.
must_start() {
    differs "service $1" && ! grep -q "^service $1${tab}active" "$notes/observed"
}

# rows_of TABLE ID UNIT — what one of a generation's tables (needs, files) says of a unit.
rows_of() {
    [ ! -f "$generations/$2/$1" ] ||
        awk -F "$tab" -v unit="$3" '$1 == unit || $1 ".service" == unit { sub(/^[^\t]*\t/, ""); print }' "$generations/$2/$1" | sort
}

# needs_mended ID UNIT — was one of its store paths made again, or a link into one of them?
needs_mended() {
    [ -s "$notes/wrong" ] || return 1
    rows_of needs "$1" "$2" >"$notes/needs"
    while IFS= read -r path <&4; do
        ! differs "store ${path##*/}" || return 0
        [ -f "$generations/$1/links" ] || continue
        while IFS=$tab read -r link target <&6; do
            case $target in "$path" | "$path"/*) ! differs "link $link" || return 0 ;; esac
        done 6<"$generations/$1/links"
    done 4<"$notes/needs"
    return 1
}

# files_mended ID UNIT — was one of its files written anew?
files_mended() {
    [ -s "$notes/wrong" ] || return 1
    rows_of files "$1" "$2" >"$notes/files"
    while IFS=$tab read -r path _ <&4; do
        ! differs "file $path" || return 0
    done 4<"$notes/files"
    return 1
}

# release_what_is_gone ID — units, links and files of ours that this generation does not have.
release_what_is_gone() {
    [ -f "$found_list" ] || return 0
    sed -n "s/^unit$tab\([^$tab]*\).*/\1/p" "$found_list" >"$notes/units"
    while IFS= read -r unit <&4; do
        [ -f "$generations/$1/units/$unit" ] || {
            release_unit "$unit"
            printf 'unit %s\n' "$unit" >>"$notes/changed"
        }
    done 4<"$notes/units"
    sed -n "s/^link$tab//p" "$found_list" >"$notes/links"
    while IFS= read -r path <&4; do
        cut -f 1 "$generations/$1/links" 2>/dev/null | grep -qxF -- "$path" || {
            release_link "$path"
            printf 'link %s\n' "$path" >>"$notes/changed"
        }
    done 4<"$notes/links"
    sed -n "s/^file$tab//p" "$found_list" >"$notes/files"
    while IFS= read -r path <&4; do
        cut -f 2 "$generations/$1/files" 2>/dev/null | grep -qxF -- "$path" || {
            release_file "$path"
            printf 'file %s\n' "$path" >>"$notes/changed"
        }
    done 4<"$notes/files"
}

deactivate() {
    [ $# -eq 0 ] || die 2 "'deactivate' takes no argument"
    lock_generations
    live=$(current)
    release_everything
    rm -f -- "$generations/pending"
    if [ -n "$live" ]; then
        printf '%s\t-\n' "$(now)" >>"$generations/log"
        say "generation $live is out of service; the store, the sources and the generations stay in $root: remove that folder to be rid of them"
    fi
    printf 'generation\t\n' | report_status "$notes/changed"
}

# release_everything — all that is ours; what was found is back where it stood.
release_everything() {
    [ -z "$(current)" ] || echo generation >>"$notes/changed"
    # No generation has the empty name, so nothing belongs to it.
    release_what_is_gone ''
    give_back_interrupted
    [ ! -f "$found_list" ] || release_folders
    rm -rf -- "$root/current"
    forget_everything
}
