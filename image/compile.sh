#!/bin/sh
# compile.sh ARCHITECTURE — the servers of one platform in /out, static, each for its kind of CPU.
#
# FLAGS    CMake arguments of all, one a line
# SERVERS  one a line: architecture, file name, then CMake arguments of this one
# shellcheck disable=SC2153 # both come from the Dockerfile
set -eu

case $1 in
amd64) processor=x86_64 ;;
arm64) processor=aarch64 ;;
*)
    echo "image: linux/$1 is not supported: build for linux/amd64 or linux/arm64" >&2
    exit 2
    ;;
esac
triple=$processor-linux-gnu

# configure FLAG… — the common flags, one a line, then those given.
configure() {
    while IFS= read -r flag <&3; do
        set -- "$@" "$flag"
    done 3<<END
$FLAGS
END
    # A static program takes libgomp as an archive, which CMake does not look for.
    cmake -S /src -B /b -G Ninja "$@" \
        -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$processor" \
        -DCMAKE_C_COMPILER="$triple-gcc-12" -DCMAKE_CXX_COMPILER="$triple-g++-12" \
        -DCMAKE_C_FLAGS="$same" -DCMAKE_CXX_FLAGS="$same" \
        -DCMAKE_EXE_LINKER_FLAGS='-static -Wl,--gc-sections' \
        -DOpenMP_gomp_LIBRARY="$("$triple-gcc-12" -print-file-name=libgomp.a)" \
        -DLLAMA_BUILD_NUMBER="$NUMBER" -DLLAMA_BUILD_COMMIT="$(printf %.9s "$COMMIT")" -DGGML_CCACHE=OFF
}

# What is not called is left out, and no folder of the build shows in the program.
same='-ffunction-sections -fdata-sections -ffile-prefix-map=/src/= -ffile-prefix-map=/b/='
mkdir -p /out
# Servers of one platform differ in the flags of the CPU's own kernels: the next one compiles no more than those anew.
while read -r architecture file flags <&4; do
    [ "$architecture" = "$1" ] || continue
    echo "image: $file"
    # Flags of one server hold no white space.
    # shellcheck disable=SC2086
    configure $flags
    ninja -C /b llama-server
    "$triple-strip" -o "/out/$file" /b/bin/llama-server
done 4<<END
$SERVERS
END
