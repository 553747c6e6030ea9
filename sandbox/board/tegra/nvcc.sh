#!/bin/sh
# nvcc — an imitation of JetPack's CUDA compiler: it is there, and compiles nothing
echo 'nvcc: an imitation, which compiles nothing' >&2
exit 1
