# shellcheck shell=sh
# shellcheck disable=SC2154 # the variables of the sheet and of the tools are set by lib.sh
# store.sh — store paths: seal, check, install, pack and unpack.

# seal FOLDER — lists every file with its hash in .sha256sums.
seal() (
    cd "$1" || exit
    find . -type f ! -path './.sha256sums*' -printf '%P\0' | sort -z | xargs -0 sha256sum -- >.sha256sums.new
    mv .sha256sums.new .sha256sums
)

# store_state FOLDER — prints what the live map says of a store path: intact, missing, or changed: FILE.
store_state() (
    cd "$1" 2>/dev/null || {
        echo missing
        exit
    }
    wrong=$(sha256sum --check --quiet --strict .sha256sums 2>/dev/null) || {
        wrong=${wrong%%: FAILED*}
        echo "changed: ${wrong:-.sha256sums}"
        exit
    }
    # A file that is not listed, or that is no longer a plain file.
    wrong=$(find . -mindepth 1 ! -type d ! -path ./.sha256sums -printf '%y %P\n' |
        awk 'NR == FNR { listed["f " substr($0, 67)]; next } !($0 in listed) { print substr($0, 3); exit }' .sha256sums -)
    if [ -n "$wrong" ]; then
        echo "changed: $wrong"
    else
        echo intact
    fi
)

# install_path NEW PATH — a complete folder becomes a store path in one step; whoever is first wins.
install_path() {
    mkdir -p "${2%/*}"
    sync -f "$1"
    mv -T -- "$1" "$2" 2>/dev/null || {
        [ -d "$2" ] || return 1
        rm -rf -- "$1"
    }
    sync -f "$2"
}

# pack FOLDER NAME — a tar.gz of FOLDER/NAME on stdout that depends on nothing but names, modes and contents.
pack() {
    tar -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -I 'gzip -n' -cf - -- "$2"
}

# unpack_into_store ARCHIVE — the store path of the loaded sheet from an archive; prints why not.
unpack_into_store() {
    scratch=$root/store/.unpack-$key.$$
    rm -rf -- "$scratch"
    mkdir -p "$scratch"
    why=$(
        tar -C "$scratch" --no-same-owner -I gzip -xf "$1" 2>/dev/null || {
            echo "it cannot be unpacked"
            exit
        }
        state=$(store_state "$scratch/$key-$name")
        [ "$state" = intact ] || {
            echo "its content is $state"
            exit
        }
        # A sheet without a target is no program.
        [ -n "$target" ] || exit 0
        program=$scratch/$key-$name/bin/$target
        runs "$program" >/dev/null || {
            echo "$target does not run on this host$(ldd "$program" 2>/dev/null | sed -n 's/^ *\(.*\) => not found/, it lacks \1/p')"
            exit
        }
        wrong=$(computes "$program") || echo "$target computes wrongly on this host: $wrong" | head -n 1
    )
    if [ -z "$why" ]; then
        install_path "$scratch/$key-$name" "$store" || why="it cannot be moved into $root/store"
    fi
    rm -rf -- "$scratch"
    [ -z "$why" ] || {
        echo "$why"
        return 1
    }
}

# runs PROGRAM — says its version; a program that cannot even do that is not installed. Those of llama.cpp's tools that
# know no --version end with 1 and say how they are used.
runs() {
    told=0
    heard=$(timeout 60 "$1" --version </dev/null 2>&1) || told=$?
    printf '%s\n' "$heard"
    case $told:$heard in 1:*usage:*) told=0 ;; esac
    return "$told"
}
