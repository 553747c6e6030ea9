# shellcheck shell=sh
# shellcheck disable=SC2154 # the variables of the tools are set by lib.sh
# found.sh — what stood at a visible place before us is kept, once, and put back when the place is given up.
#
# found/list says what is ours, one a line:
#   unit NAME ENABLED ACTIVE (the state found) · link PATH · file PATH · dir PATH
# found/files/<path> is what stood there. The line is written last, so a place without a line is not ours yet;
# found/claiming is the place that was claimed last, whose line an interruption may have prevented.

found_list=$root/found/list

# is_ours KIND NAME
is_ours() {
    [ -f "$found_list" ] && grep -q "^$1$tab$(quoted_for_grep "$2")\($tab\|\$\)" "$found_list"
}

quoted_for_grep() {
    printf '%s' "$1" | sed 's/[].[^$*\\]/\\&/g'
}

# claim_link PATH
claim_link() {
    claim_folder "${1%/*}"
    ! is_ours link "$1" || return 0
    keep_found "$1"
    printf 'link\t%s\n' "$1" >>"$found_list"
}

# claim_file PATH
claim_file() {
    claim_folder "${1%/*}"
    ! is_ours file "$1" || return 0
    keep_found "$1"
    printf 'file\t%s\n' "$1" >>"$found_list"
}

# claim_unit NAME
claim_unit() {
    ! is_ours unit "$1" || return 0
    enabled=$(systemctl is-enabled "$1" 2>/dev/null) || :
    active=$(systemctl is-active "$1" 2>/dev/null) || :
    mkdir -p "$root/found"
    # Looked at before the unit's file goes, and not again when this is interrupted and repeated.
    [ -f "$root/found/$1" ] || printf '%s\t%s\n' "${enabled:-missing}" "${active:-inactive}" | write_file "$root/found/$1"
    keep_found "$unit_dir/$1"
    printf 'unit\t%s\t%s\n' "$1" "$(cat "$root/found/$1")" >>"$found_list"
    rm -f -- "$root/found/$1"
}

# claim_folder PATH — makes it, and remembers which of its parents were not there, before they are.
claim_folder() {
    { [ -n "$1" ] && [ ! -d "$1" ]; } || return 0
    claim_folder "${1%/*}"
    mkdir -p "$root/found"
    is_ours dir "$1" || printf 'dir\t%s\n' "$1" >>"$found_list"
    mkdir -- "$1"
}

# keep_found PATH — moves what stands there to found/files, unless it is a link of ours. In two steps, because a move
# between file systems is a copy that a power cut can leave half done.
keep_found() {
    kept=$root/found/files$1
    mkdir -p "${kept%/*}"
    printf '%s\n' "$1" | write_file "$root/found/claiming"
    if [ -e "$1" ] || [ -L "$1" ]; then
        case $(readlink -- "$1" || :) in
        "$root/store/"*) ;;
        *)
            say "keeping what stands at $1 as $kept"
            mv -fT -- "$1" "$kept.part"
            ;;
        esac
    fi
    if [ -e "$kept.part" ] || [ -L "$kept.part" ]; then
        mv -fT -- "$kept.part" "$kept"
    fi
}

# give_back PATH — what was found there, or nothing.
give_back() {
    kept=$root/found/files$1
    if [ -e "$kept" ] || [ -L "$kept" ]; then
        say "putting back what stood at $1"
        mkdir -p "${1%/*}"
        mv -fT -- "$kept" "$1"
    fi
}

# give_back_interrupted — what the last claim had moved away when it was cut, before the place was ours.
give_back_interrupted() {
    path=$(cat "$root/found/claiming" 2>/dev/null) || return 0
    if [ -e "$path" ] || [ -L "$path" ]; then
        rm -rf -- "$root/found/files$path.part"
        return
    fi
    mv -fT -- "$root/found/files$path.part" "$root/found/files$path" 2>/dev/null || :
    give_back "$path"
}

# leave_alone PATH WHAT-IT-IS
leave_alone() {
    kept=$root/found/files$1
    if [ -e "$kept" ] || [ -L "$kept" ]; then
        say "left alone: $1 is $2; what was found there stays as $kept"
    else
        say "left alone: $1 is $2"
    fi
}

# release_link PATH — a file that somebody put in the place of our link is left alone.
release_link() {
    target=$(readlink -- "$1" || :)
    case $target in
    "$root/store/"*) rm -f -- "$1" ;;
    esac
    rm -f -- "$1.pollex-new"
    if [ -e "$1" ] || [ -L "$1" ]; then
        leave_alone "$1" 'not a link of ours any more'
    else
        give_back "$1"
    fi
    forget link "$1"
}

# release_file PATH — it is ours, whoever edited it; a folder with something in it is not.
release_file() {
    rm -f -- "$1.pollex-new"
    if [ -d "$1" ] && [ ! -L "$1" ] && ! rmdir -- "$1" 2>/dev/null; then
        leave_alone "$1" 'a folder now'
    else
        rm -f -- "$1"
        give_back "$1"
    fi
    forget file "$1"
}

# release_unit NAME — stopped, disabled, gone; a unit that was found is back as it was.
release_unit() {
    line=$(grep "^unit$tab$(quoted_for_grep "$1")$tab" "$found_list" | tail -n 1)
    systemctl disable --now -q "$1" 2>/dev/null || systemctl stop "$1" 2>/dev/null || :
    rm -f -- "$unit_dir/$1" "$unit_dir/$1.pollex-new"
    give_back "$unit_dir/$1"
    systemctl daemon-reload
    systemctl reset-failed "$1" 2>/dev/null || :
    case $line in *"${tab}enabled$tab"*) systemctl enable -q "$1" ;; esac
    case $line in *"${tab}active") systemctl start "$1" || say "$1, which was found active, does not start again" ;; esac
    forget unit "$1"
}

# release_folders — those that we made and that are empty again, the innermost first.
release_folders() {
    sed -n "s/^dir$tab//p" "$found_list" | sort -r | while IFS= read -r folder; do
        rmdir -- "$folder" 2>/dev/null && forget dir "$folder" || :
    done
}

# forget_everything — the notes; what could not be put back stays.
forget_everything() {
    [ -d "$root/found" ] || return 0
    find "$root/found" -maxdepth 1 -type f -delete
    find "$root/found" -depth -type d -empty -delete
}

# forget KIND NAME
forget() {
    grep -v "^$1$tab$(quoted_for_grep "$2")\($tab\|\$\)" "$found_list" >"$found_list.new" || :
    mv -- "$found_list.new" "$found_list"
}
