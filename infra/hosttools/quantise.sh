# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables are set or read by lib.sh
# quantise.sh — makes a model file out of another one. Its sheet holds two whole sheets, source/ and tool/, so that the
# file can be made again when neither is left in the store.

# quantise_file — leaves it in $part; ends with the exit status of what could not be had, or 5.
quantise_file() {
    nested source ensure-model
    # shellcheck source=/dev/null
    from=$path/$(. "$drv/source/env" && printf '%s' "$file")
    nested tool ensure
    # shellcheck source=/dev/null
    program=$path/bin/$(. "$drv/tool/env" && printf '%s' "$target")
    # What is quantised is smaller than what it is made from.
    need_space "$(file_size "$from")"
    log=$root/log/$key.log
    mkdir -p "$root/log"
    rm -f -- "$part"
    run_quantiser
    [ "$(head -c 4 "$part" 2>/dev/null)" = GGUF ] || quantiser_failed "it wrote no GGUF file"
    sync -f "$part"
    sha256=$(sha256_of "$part")
    how=quantised
}

# nested NAME VERB — makes what the sheet's folder NAME describes exist, in a process of its own; sets `path`.
nested() {
    # shellcheck source=/dev/null
    item=$(. "$drv/$1/env" && printf '%s-%s' "$key" "$name")
    { is_key "${item%%-*}" && is_name "$item"; } || die 2 "the sheet's $1 is '$item', which is not KEY-NAME"
    path=$root/store/$item
    rm -rf -- "$root/drv/.new.$$"
    cp -R -- "$drv/$1" "$root/drv/.new.$$"
    keep_folder "$root/drv/.new.$$" "$root/drv/$item"
    sh "$here/pollex-host" "$2" "${item%%-*}" >/dev/null 9<&- || exit
}

# run_quantiser — with progress lines.
run_quantiser() {
    set --
    while IFS= read -r argument <&3; do
        [ -z "$argument" ] || set -- "$@" "$argument"
    done 3<<END
$arguments
END
    say "$label: quantising to $type"
    nice -n 10 "$program" "$@" "$from" "$part" "$type" "$(nproc)" </dev/null >"$log" 2>&1 9<&- &
    quantiser=$!
    trap 'kill "$quantiser" 2>/dev/null || :' EXIT
    trap 'exit 143' HUP INT TERM
    next=$(($(now) + poll))
    while kill -0 "$quantiser" 2>/dev/null; do
        sleep 1
        clock=$(now)
        [ "$clock" -lt "$next" ] || {
            say "$label: quantising to $type$(tensors_done)"
            next=$((clock + poll))
        }
    done
    status=0
    wait "$quantiser" || status=$?
    trap - EXIT HUP INT TERM
    [ "$status" -eq 0 ] || quantiser_failed "it ended with $status"
}

# tensors_done — ", 120 of 290 tensors"
tensors_done() {
    sed -n 's|^\[ *\([0-9]*\)/ *\([0-9]*\)\].*|, \1 of \2 tensors|p' "$log" | tail -n 1
}

quantiser_failed() {
    [ "$(free_mb "$root")" -ge 16 ] || die 6 "no room for $file: $(free_mb "$root") MB free at $root (pollex-host gc)"
    whole_text <"$log" | tail -n 5 | sed 's/^/  /' >&2
    ! grep -q 'requantizing from' "$log" ||
        say "  the source is quantised itself: name a better one in pollex:model.source, or allow it in pollex:model.quantise.requantise"
    die 5 "$file could not be made: $1" "whole log: $(uname -n):$log"
}
