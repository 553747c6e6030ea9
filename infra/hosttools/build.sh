# shellcheck shell=sh
# shellcheck disable=SC2154 # the variables of the sheet and of the tools are set by lib.sh
# build.sh — makes one build, from its kept sheet into the store. Interrupted at any point, it goes on when run again.

build() {
    [ $# -eq 1 ] || die 2 "'build' takes one key"
    find_sheet "$1"
    load_sheet "$drv" build
    mkdir -p "$work" "$root/log"
    exec 9<"$work"
    # Not at once: a follower that looks whether a build runs holds this lock for a moment.
    flock -w 3 9 || die 9 "$label is being built already"
    open_log
    trap finish EXIT
    trap 'stopped=yes; exit 143' HUP INT TERM
    [ -d "$store" ] || make_it
    rm -rf -- "$work"
}

# open_log — appended to while a build is resumed, begun anew otherwise.
open_log() {
    stopped='' resumed=''
    if [ -f "$work/state" ] && ! grep -q '^failed ' "$work/state"; then
        resumed=yes
    else
        : >"$log"
    fi
    ln -sfn -- "../../log/$key.log" "$work/log"
    exec >>"$log" 2>&1
    begun=$(now)
    echo "== begin $begun ${resumed:+(resumed) }$key-$name"
}

# phase NAME [DETAIL] [COUNT] — what followers see.
phase() {
    printf '%s %s %s %s\n' "$1" "$(now)" "${3:-0}" "${2:-}" | write_file "$work/state"
    echo "== phase $1 ${2:-}"
}

# finish — an ended build leaves the boot alone; one that was stopped stays enabled and goes on after it.
finish() {
    status=$?
    [ -z "$stopped" ] || exit "$status"
    if [ "$status" -ne 0 ] && [ -d "$work" ]; then
        # A full disk shows as whatever could not be written.
        case $status in 1 | 5 | 8) ! no_space_left || status=6 ;; esac
        printf 'failed %s %s %s\n' "$(now)" "$status" $(($(now) - begun)) | write_file "$work/state"
    fi
    [ ! -e "$unit_dir/multi-user.target.wants/pollex-build@$key.service" ] ||
        systemctl disable -q "pollex-build@$key.service"
    exit "$status"
}

make_it() {
    phase packages
    # One package a line, and a package's name holds nothing to split on.
    # shellcheck disable=SC2086
    install_packages $packages
    fetch_source
    patch_source
    configure
    compile
    try_out
    install_build
}

configure() {
    # Where CUDA's packages put nvcc.
    PATH=$PATH:/usr/local/cuda/bin
    use_ccache
    # Nothing below may find a git repository further up and ask it for a version.
    GIT_CEILING_DIRECTORIES=$root/build/$key
    export PATH GIT_CEILING_DIRECTORIES
    ! is_marked configured || return 0
    phase configure
    rm -rf -- "$work/b"
    mkdir -p "$work/b"
    set -- -DCMAKE_BUILD_TYPE=Release -DCMAKE_RUNTIME_OUTPUT_DIRECTORY="$work/b/bin" \
        -DCMAKE_PROJECT_INCLUDE="$here/same-paths.cmake" -DPOLLEX_BUILD_FOLDER="$work" \
        -DGGML_BUILD_NUMBER="${number:-0}" -DGGML_BUILD_COMMIT="$(printf %.9s "$commit")" -DGGML_CCACHE=OFF
    ! command -v ninja >/dev/null || set -- "$@" -G Ninja
    for language in ${ccache:+C CXX CUDA}; do
        set -- "$@" -DCMAKE_"$language"_COMPILER_LAUNCHER=ccache
    done
    while IFS= read -r flag <&3; do
        [ -z "$flag" ] || set -- "$@" "$flag"
    done 3<<END
$flags
END
    (cd "$work/b" && cmake "$@" "$work/src" </dev/null) || die 5 "CMake could not configure the build"
    steps_left >"$work/steps"
    mark configured
}

# use_ccache — so that a changed patch does not cost the whole build, wherever the build stands.
use_ccache() {
    ccache=''
    command -v ccache >/dev/null || return 0
    ccache=yes
    CCACHE_DIR=$root/cache/ccache CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1 CCACHE_COMPILERCHECK=content CCACHE_MAXSIZE=2G
    export CCACHE_DIR CCACHE_BASEDIR CCACHE_NOHASHDIR CCACHE_COMPILERCHECK CCACHE_MAXSIZE
}

compile() {
    run_cmake && return
    # A power cut can leave an object whose name reached the disk and whose content did not.
    { [ -n "$resumed" ] && broken_objects; } || die 5 "the compile failed"
    echo "an object was damaged when the build was interrupted: compiling everything again"
    CCACHE_RECACHE=1
    export CCACHE_RECACHE
    cmake --build "$work/b" --target clean
    run_cmake || die 5 "the compile failed"
}

# run_cmake — in the background, because a shell that waits for a program does not hear TERM.
run_cmake() {
    together=$(jobs_to_use)
    phase compile "$together at once" "$(cat "$work/steps")"
    # As ninja would say it, so that a follower knows what was done before an interruption.
    echo "[0/$(steps_left)]"
    cmake --build "$work/b" --target "$target" -- -j "$together" </dev/null &
    wait $!
}

# broken_objects — did linking fail over what an object holds?
broken_objects() {
    this_run "$log" | grep -Eq 'file (format not recognized|truncated)|undefined reference|not an object|malformed|cannot find entry symbol'
}

# steps_left — how many steps ninja would take now; nothing where make is used, which tells percentages itself.
steps_left() {
    [ ! -f "$work/b/build.ninja" ] ||
        ninja -C "$work/b" -n "$target" </dev/null | sed -n 's|^\[[0-9]*/\([0-9]*\)\].*|\1|p' | tail -n 1
}

# jobs_to_use — a compile of a CUDA file takes up to 1.5 GB, any other up to 0.7 GB.
jobs_to_use() {
    [ "$jobs" = auto ] || {
        echo "$jobs"
        return
    }
    case $flags in
    *GGML_CUDA=ON* | *GGML_CUDA:BOOL=ON*) each=1500 ;;
    *) each=700 ;;
    esac
    awk -v each="$each" -v cores="$(nproc)" '
        /^MemAvailable:/ { n = int($2 / 1024 / each); print n < 1 ? 1 : (n < cores ? n : cores) }' /proc/meminfo
}

# try_out — run once where it will live, before anything may depend on it.
try_out() {
    phase check
    out=$work/out/$key-$name
    rm -rf -- "$work/out"
    mkdir -p "$out/bin"
    [ -f "$work/b/bin/$target" ] || die 5 "the target $target made no program of that name: correct pollex:build.target"
    cp -- "$work/b/bin/$target" "$out/bin/$target"
    strip -- "$out/bin/$target"
    ! ldd "$out/bin/$target" 2>/dev/null | grep -F "$work/" ||
        die 5 "$target needs libraries of the build folder: add -DBUILD_SHARED_LIBS=OFF to pollex:build.flags"
    runs "$out/bin/$target" || die 5 "$target was built but does not run: '$target --version' ended with an error"
    phase proof
    answer=$(computes "$out/bin/$target") || {
        printf '%s\n' "$answer"
        die 5 "$target was built but computes wrongly, and is not installed: $(printf '%s' "$answer" | head -n 1)" \
            "a patch, a flag (pollex:build.flags) or the compiler is to blame"
    }
    printf '%s\n' "$answer"
}

install_build() {
    phase install
    seal "$out"
    mkdir -p "$root/archive"
    archive=$root/archive/$key-$name.tar.gz
    pack "$work/out" "$key-$name" >"$archive.new"
    mv -- "$archive.new" "$archive"
    install_path "$out" "$store"
}
