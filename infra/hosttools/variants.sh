# shellcheck shell=sh
# shellcheck disable=SC2154 # variables are set or read by lib.sh and tune.sh
# variants.sh — which other files in the store hold the live model?
#
# What was served under the name that clients see, in any generation that is kept, is that model by declaration; so is
# the file that one of those was made from, and whatever else was made from it. A model of another name is none.

# variants — the finished files, one a line, without the live one.
variants() {
    sources=$(served_alike | while IFS= read -r item; do source_of "$item"; done | sort -u)
    for folder in "$root"/drv/*; do
        item=${folder##*/}
        [ "$item" != "$live_item" ] || continue
        file=$(model_file "$item")
        [ -n "$file" ] && [ -f "$file" ] || continue
        ! printf '%s\n' "$sources" | grep -qxF -- "$(source_of "$item")" || printf '%s\n' "$file"
    done
}

# served_alike — the store paths of the models that were served under the live one's name.
served_alike() {
    printf '%s\n' "$live_item"
    alias=$(alias_in "$generations/$id")
    [ -n "$alias" ] || return 0
    for folder in "$generations"/*; do
        [ "$(alias_in "$folder")" != "$alias" ] || item_of "$(model_link "$folder")"
    done
}

# alias_in GENERATION — the line that gives its model a name.
alias_in() {
    sed -n 's/^ *\(--alias .*[^ \\]\) *\\*$/\1/p' "$1/units/$unit" 2>/dev/null || :
}

# model_link GENERATION — what its link to a model leads to.
model_link() {
    sed -n "s/^[^$tab]*$tab\(.*\.gguf\)\$/\1/p" "$1/links" 2>/dev/null | head -n 1
}

# item_of FILE — KEY-NAME of the store path that holds it.
item_of() {
    folder_of=${1%/*}
    printf '%s\n' "${folder_of##*/}"
}

# source_of ITEM — what a quantised model was made from; another one is its own.
source_of() (
    key='' name='' kind=''
    # shellcheck source=/dev/null
    [ ! -f "$root/drv/$1/env" ] || . "$root/drv/$1/env"
    case $kind in
    quantised)
        # shellcheck source=/dev/null
        . "$root/drv/$1/source/env"
        printf '%s-%s\n' "$key" "$name"
        ;;
    *) printf '%s\n' "$1" ;;
    esac
)

# model_file ITEM — its path, if that is the sheet of a model.
model_file() (
    kind='' file=''
    # shellcheck source=/dev/null
    [ ! -f "$root/drv/$1/env" ] || . "$root/drv/$1/env"
    case $kind in model | quantised) printf '%s\n' "$root/store/$1/$file" ;; esac
)

# how_to_serve FILE — what to write in the stack file, so that this variant is served.
# shellcheck disable=SC2016 # the quotes are for people
how_to_serve() (
    arguments='' adopt='' kind='' type='' mirrors='' size='' sha256=''
    live_kind=$(
        # shellcheck source=/dev/null
        . "$root/drv/$live_item/env" && printf '%s' "$kind"
    ) 2>/dev/null || live_kind=''
    # shellcheck source=/dev/null
    . "$root/drv/$(item_of "$1")/env"
    if [ "$kind" = quantised ]; then
        printf 'set `quantise: { type: %s%s }` below pollex:model' "$type" "$(made_with "$arguments")"
    elif [ "$live_kind" = quantised ] && [ -n "$adopt" ]; then
        printf 'remove the line `quantise: …` below pollex:model'
    else
        printf 'set `url: %s`, `size: %s` and `sha256: %s` below pollex:model, without `quantise`' \
            "$(printf '%s' "$mirrors" | head -n 1)" "$size" "$sha256"
    fi
)

# made_with ARGUMENTS — the settings that differ from what they are without being set.
made_with() {
    printf '%s' "$1" | awk '
        before == "--output-tensor-type" && $0 != "q8_0" { printf ", output: %s", toupper($0) }
        before == "--token-embedding-type" && $0 != "q8_0" { printf ", embedding: %s", toupper($0) }
        $0 == "--allow-requantize" { printf ", requantise: true" }
        { before = $0 }'
}
