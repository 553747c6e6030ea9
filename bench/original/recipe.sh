#!/bin/sh
# recipe.sh SRC — the six edits that the original hand-written recipe makes to llama.cpp b5050, in its order.
# The seventh, a stub of cuda_bf16.h, lies beside this file.
set -eu
cd "$1"

sed -i 's/set(CMAKE_CUDA_ARCHITECTURES.*/set(CMAKE_CUDA_ARCHITECTURES "53")/' CMakeLists.txt
cat >>ggml/CMakeLists.txt <<'CMAKE'
target_link_libraries(ggml-base PRIVATE stdc++fs)
add_link_options(-Wl,--copy-dt-needed-entries)
CMAKE
sed -i '455 s/constexpr/const/' ggml/src/ggml-cuda/common.cuh
for file in fattn-common.cuh fattn-vec-f32.cuh fattn-vec-f16.cuh; do
    sed -i 's|__builtin_assume|// __builtin_assume|' "ggml/src/ggml-cuda/$file"
done
