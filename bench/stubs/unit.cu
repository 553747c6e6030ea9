// Compiles UNIT, a file of ggml-cuda, with clang: its headers and CUDA's do not agree about __noinline__, so those of
// the C++ library that ggml-cuda includes come first.
#undef __noinline__
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>
#include UNIT
