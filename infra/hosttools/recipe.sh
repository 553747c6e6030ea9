#!/bin/sh
# recipe.sh — how llama.cpp is configured, compiled and stripped: with same-paths.cmake, what of these tools decides the
# bytes of a build. Its lines, without comments and blank ones, are part of every build's key.
#
#   sh recipe.sh stamp SOURCE NUMBER COMMIT               write the build's number and commit into the source
#   sh recipe.sh configure WORK NUMBER COMMIT FLAG…       WORK/src into WORK/b
#   sh recipe.sh compile WORK JOBS TARGET
#   sh recipe.sh strip PROGRAM COPY                       COPY is PROGRAM without symbols
set -eu
here=$(readlink -f -- "$0")
here=${here%/*}
# Where CUDA's packages put nvcc.
PATH=$PATH:/usr/local/cuda/bin
export PATH

# stamp SOURCE NUMBER COMMIT — llama.cpp asks git for its number and commit, and a checkout of one tree knows neither; so
# the two places of its template are filled in.
stamp() {
    template=$1/common/build-info.cpp.in
    [ ! -f "$template" ] || sed -i "s/@BUILD_NUMBER@/$2/; s/@BUILD_COMMIT@/$(printf %.9s "$3")/" "$template"
}

# use_ccache WORK — so that a changed patch does not cost the whole build, wherever the build stands.
use_ccache() {
    ccache=''
    command -v ccache >/dev/null || return 0
    ccache=yes
    CCACHE_DIR=${CCACHE_DIR:-$1/../../cache/ccache} CCACHE_BASEDIR=$1 CCACHE_NOHASHDIR=1
    CCACHE_COMPILERCHECK=content CCACHE_MAXSIZE=2G
    export CCACHE_DIR CCACHE_BASEDIR CCACHE_NOHASHDIR CCACHE_COMPILERCHECK CCACHE_MAXSIZE
}

configure() {
    work=$1 number=$2 commit=$3
    shift 3
    set -- -DCMAKE_BUILD_TYPE=Release -DCMAKE_RUNTIME_OUTPUT_DIRECTORY="$work/b/bin" \
        -DCMAKE_PROJECT_INCLUDE="$here/same-paths.cmake" -DPOLLEX_BUILD_FOLDER="$work" \
        -DGGML_BUILD_NUMBER="$number" -DGGML_BUILD_COMMIT="$(printf %.9s "$commit")" -DGGML_CCACHE=OFF "$@"
    ! command -v ninja >/dev/null || set -- -G Ninja "$@"
    use_ccache "$work"
    for language in ${ccache:+C CXX CUDA}; do
        set -- -DCMAKE_"$language"_COMPILER_LAUNCHER=ccache "$@"
    done
    rm -rf -- "$work/b"
    mkdir -p "$work/b"
    cd "$work/b"
    # Nothing below may find a git repository further up and ask it for a version.
    GIT_CEILING_DIRECTORIES=$work exec cmake "$@" "$work/src"
}

compile() {
    use_ccache "$1"
    GIT_CEILING_DIRECTORIES=$1 exec cmake --build "$1/b" --target "$3" -- -j "$2"
}

strip_copy() {
    cp -- "$1" "$2"
    exec strip -- "$2"
}

step=${1:?stamp, configure, compile or strip}
shift
case $step in
stamp | configure | compile) "$step" "$@" ;;
strip) strip_copy "$@" ;;
*)
    echo "recipe.sh: there is no step '$step'" >&2
    exit 2
    ;;
esac
