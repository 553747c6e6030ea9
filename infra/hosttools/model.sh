# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables are set or read by lib.sh
# model.sh — makes a model file exist: taken over where it lies already, or downloaded, resumed and checked.

ensure_model() {
    begun=$(now)
    take_sheet 'model or quantised' "$@"
    make_model_exist
    report "$how"
}

# make_model_exist — sets `how`; ends with 3, 6 or 8 when the file cannot be had, with 5 when it cannot be made.
make_model_exist() {
    is_name "$file" || die 2 "the sheet's file '$file' is not a plain file name"
    label=$file
    part=$work/part
    how=present
    [ -d "$store" ] || case $kind in
    model)
        case $size in '' | *[!0-9]*) die 2 "the sheet's size '$size' is not a number of bytes" ;; esac
        with_the_lock obtain_file
        ;;
    quantised) if substitute; then how=substituted; else with_the_lock quantise_file; fi ;;
    esac
    say "$label: $how"
}

# with_the_lock MAKE — one process at a time works on a key; the others report how far it is. MAKE leaves the file in
# $part, and sets `sha256` and `how`.
with_the_lock() {
    mkdir -p "$work"
    exec 9<"$work"
    next=0
    until flock -n 9; do
        clock=$(now)
        [ "$clock" -lt "$next" ] || {
            say "$label: another run is at it: $(percent_of "$(file_size "$part")")"
            next=$((clock + poll))
        }
        sleep 1
    done
    # The one before may have finished, and have taken the folder away with its lock.
    [ ! -d "$store" ] || return 0
    mkdir -p "$work"
    "$1"
    mkdir -p "$work/new"
    mv -fT -- "$part" "$work/new/$file"
    chmod 644 "$work/new/$file"
    printf '%s  %s\n' "$sha256" "$file" >"$work/new/.sha256sums"
    install_path "$work/new" "$store"
    rm -rf -- "$work"
    exec 9<&-
}

# obtain_file — taken over, or downloaded.
obtain_file() {
    if adopt_file; then
        how=adopted
    else
        download_file
        how=downloaded
    fi
}

# adopt_file — takes the file that lies at the visible path, if it is the right one.
adopt_file() {
    [ -n "$adopt" ] && [ -f "$adopt" ] && [ "$(file_size "$adopt")" -eq "$size" ] || return 1
    say "$label: checking the file at $adopt"
    found=$(readlink -f -- "$adopt")
    got=$(sha256_of "$found")
    if [ "$got" != "$sha256" ]; then
        say "$label: $adopt has SHA-256 $got, wanted $sha256: not taken"
        return 1
    fi
    rm -f -- "$part"
    # A second name costs no space, but only root may be able to write through the first one.
    case $(stat -c '%u %A' -- "$found") in
    '0 -rw'?r--r--*) ln -- "$found" "$part" 2>/dev/null && return ;;
    esac
    need_space "$size"
    cp --reflink=auto -- "$found" "$part"
}

# download_file — from the first mirror that yields the right bytes.
download_file() {
    wrong=''
    while IFS= read -r url <&3; do
        [ -n "$url" ] || continue
        outcome=0
        from_mirror "$url" || outcome=$?
        case $outcome in
        0) return ;;
        3) wrong=yes ;;
        esac
    done 3<<END
$mirrors
END
    [ -z "$wrong" ] || die 3 "no mirror has the right $file: correct pollex:model.sha256, pollex:model.size or pollex:model.mirrors"
    die 8 "no mirror of $file could be reached; what has arrived is kept, and the next run goes on from there" \
        "see pollex:model.mirrors"
}

# from_mirror URL — 0 the right bytes are in $part, 1 not reached, 3 it has other bytes.
from_mirror() {
    kept=$(file_size "$part")
    fetch_rest "$1" || return 1
    if whole_and_right "$1"; then
        return 0
    fi
    rm -f -- "$part"
    # What an earlier attempt left may be what was wrong, so this mirror is not judged by it.
    if [ "$kept" -gt 0 ]; then
        say "$label: once more from the beginning"
        fetch_rest "$1" || return 1
        ! whole_and_right "$1" || return 0
        rm -f -- "$part"
    fi
    return 3
}

whole_and_right() {
    got=$(file_size "$part")
    if [ "$got" -ne "$size" ]; then
        say "$label: $1 has $got bytes, wanted $size"
        return 1
    fi
    say "$label: checking its SHA-256"
    got=$(sha256_of "$part")
    if [ "$got" != "$sha256" ]; then
        say "$label: $1 has SHA-256 $got, wanted $sha256"
        return 1
    fi
}

# fetch_rest URL — what is missing of $part. A connection that ends early is taken up again as long as bytes arrive.
fetch_rest() {
    while :; do
        had=$(file_size "$part")
        [ "$had" -lt "$size" ] || return 0
        need_space $((size - had))
        status=0
        watch_download "$1" || status=$?
        [ "$status" -ne 0 ] || return 0
        [ "$(file_size "$part")" -le "$size" ] || return 0
        if [ "$status" -eq 33 ] && [ "$had" -gt 0 ]; then
            say "$label: $1 cannot resume: once more from the beginning"
            rm -f -- "$part"
        elif [ "$(file_size "$part")" -le "$had" ]; then
            say "$label: $1 cannot be used: $(whole_text <"$work/curl-said" | tail -n 1)"
            return 1
        else
            say "$label: the connection ended at $(percent_of "$(file_size "$part")"); going on"
        fi
    done
}

# watch_download URL — curl with progress lines; ends with curl's status. A file that grows too long is stopped.
watch_download() {
    curl -fL -sS -C - --retry 3 --connect-timeout 10 --speed-limit 1000 --speed-time 60 \
        -o "$part" -- "$1" </dev/null 2>"$work/curl-said" 3<&- 9<&- &
    curl=$!
    trap 'kill "$curl" 2>/dev/null || :' EXIT
    trap 'exit 143' HUP INT TERM
    before=$(file_size "$part")
    clock=$(now)
    next=$((clock + (poll < 3 ? poll : 3)))
    last=$clock
    say "$label: downloading from $1 ($((size / 1000000)) MB)"
    while kill -0 "$curl" 2>/dev/null; do
        sleep 1
        here_now=$(file_size "$part")
        [ "$here_now" -le "$size" ] || kill "$curl" 2>/dev/null || :
        clock=$(now)
        [ "$clock" -ge "$next" ] || continue
        say "$label: $(percent_of "$here_now")$(pace $((here_now - before)) $((clock - last)) $((size - here_now)))"
        before=$here_now last=$clock next=$((clock + poll))
    done
    status=0
    wait "$curl" || status=$?
    trap - EXIT HUP INT TERM
    return "$status"
}

# percent_of BYTES — how much of the file that is, as far as its size is known before.
percent_of() {
    [ -n "$size" ] || {
        echo "$(($1 / 1000000)) MB"
        return
    }
    echo "$(($1 * 100 / (size > 0 ? size : 1)))% ($(($1 / 1000000)) of $((size / 1000000)) MB)"
}

# pace BYTES SECONDS LEFT — the speed, and how long the bytes left will take.
pace() {
    if [ "$2" -le 0 ] || [ "$1" -le 0 ]; then
        return
    fi
    speed=$(($1 / $2 + 1))
    printf ', %s.%s MB/s, %s left' $((speed / 1000000)) $((speed % 1000000 * 10 / 1000000)) "$(duration $(($3 / speed)))"
}

# need_space BYTES — ends with 6 when they do not fit; a little must stay free for everything else.
need_space() {
    free=$(free_mb "$work")
    wanted=$(($1 / 1048576 + 1))
    [ "$free" -ge "$((wanted + 8))" ] ||
        die 6 "$file needs $wanted MB more at $root, and $free MB are free: make room (pollex-host gc), or choose a smaller pollex:model"
}
