// Stands in for ggml-cuda's common.cuh, so that a C++ compiler takes its device code: what half2.cuh and vecdotq.cuh
// use of CUDA, on the host. Loads are checked against the arrays that a kernel was given.
#pragma once

#include "half.hpp"

#include "ggml.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct half {
    uint16_t bits;
    half() = default;
    half(float value) : bits(half_bits(value)) {}
    operator float() const { return half_value(bits); }
};

struct half2  { half x, y; };
struct float2 { float x, y; };
struct int2   { int x, y; };
struct char4  { signed char x, y, z, w; };
struct uint4  { uint32_t x, y, z, w; };
struct dim3   { int x, y; };

#define GGML_COMMON_DECL_CUDA
#define GGML_COMMON_IMPL_CUDA
#include "ggml-common.h" // it includes cuda_fp16.h, which is empty here

#define MATRIX_ROW_PADDING 512 // as in common.cuh

template <ggml_type type> struct ggml_cuda_type_traits;
template <> struct ggml_cuda_type_traits<GGML_TYPE_Q4_0> { static constexpr int qk = QK4_0; };
template <> struct ggml_cuda_type_traits<GGML_TYPE_Q8_0> { static constexpr int qk = QK8_0; };
template <> struct ggml_cuda_type_traits<GGML_TYPE_Q4_K> { static constexpr int qk = QK_K; };
template <> struct ggml_cuda_type_traits<GGML_TYPE_Q6_K> { static constexpr int qk = QK_K; };

// What vecdotq.cuh wants of CUDA:

inline float2 __half22float2(half2 a) { return {a.x, a.y}; }
inline float  __half2float(half a) { return a; }
inline float  __low2float(half2 a) { return a.x; }
inline half   __low2half(half2 a) { return a.x; }
inline int2   make_int2(int x, int y) { return {x, y}; }
inline char4  make_char4(int x, int y, int z, int w) {
    return {(signed char) x, (signed char) y, (signed char) z, (signed char) w};
}
extern const int8_t kvalues_iq4nl[16]; // this and the next are for types that are not tried here
int __vsub4(int, int);
int __vcmpne4(int, int);

inline int __vsubss4(int a, int b) {
    int r = 0;
    for (int shift = 0; shift < 32; shift += 8) {
        const int difference = int8_t(a >> shift) - int8_t(b >> shift);
        r |= (std::min(std::max(difference, -128), 127) & 0xFF) << shift;
    }
    return r;
}

inline int ggml_cuda_dp4a(int a, int b, int c) {
    for (int shift = 0; shift < 32; shift += 8) {
        c += int8_t(a >> shift) * int8_t(b >> shift);
    }
    return c;
}

// The primitives of half2.cuh:

#define HALF2_PRIMITIVES

struct Readable { const char * begin; const char * end; };
extern Readable readable[2]; // what the running kernel may read

inline void check_load(const char * p, size_t size) {
    for (const Readable & array : readable) {
        if (p >= array.begin && p + size <= array.end && (size_t) p % size == 0) {
            return;
        }
    }
    std::fprintf(stderr, "error: a kernel loads %zu bytes where it must not\n", size);
    std::exit(1);
}

template <class T> T checked_load(const char * p) {
    check_load(p, sizeof(T));
    T value;
    std::memcpy(&value, p, sizeof(T));
    return value;
}

inline uint32_t half2_load32 (const char * p) { return checked_load<uint32_t>(p); }
inline uint4    half2_load128(const char * p) { return checked_load<uint4>(p); }
inline float    half2_load_f16(const char * p) { return half_value(checked_load<uint16_t>(p)); }
inline float    half2_load_s8(const char * p) { return checked_load<int8_t>(p); }

inline uint32_t half2_permute(uint32_t a, uint32_t b, uint32_t selector) {
    const uint64_t bytes = uint64_t(b) << 32 | a;
    uint32_t r = 0;
    for (int i = 0; i < 4; ++i) {
        r |= uint32_t(bytes >> 8*(selector >> 4*i & 7) & 0xFF) << 8*i;
    }
    return r;
}

inline uint32_t half2_and_xor(uint32_t a, uint32_t b, uint32_t c) { return (a & b) ^ c; }

inline uint32_t half2_fma(uint32_t a, uint32_t b, uint32_t c) {
    return half_fma(a, b, c) | uint32_t(half_fma(a >> 16, b >> 16, c >> 16)) << 16;
}

inline uint32_t half2_add(uint32_t a, uint32_t b) { return half2_fma(a, 0x3C003C00, b); } // a times one

inline float half2_sum(uint32_t a) { return half_value(half_bits(half_value(a & 0xFFFF) + half_value(a >> 16))); }
inline float half2_low(uint32_t a) { return half_value(a & 0xFFFF); }
inline float half2_high(uint32_t a) { return half_value(a >> 16); }

// Threads, a warp at a time:

extern dim3 threadIdx, blockIdx, blockDim;

// Runs a kernel for every thread of a grid. The lanes of a warp are coroutines that meet in each shuffle.
void launch(dim3 grid, dim3 block, const std::function<void()> & kernel);

// Every lane's value of this shuffle, once all lanes have come to it.
const float * shuffle(float mine);

inline int lane_of_warp() { return threadIdx.x % 32; }

template <int width = 32> float warp_reduce(float x, float (*combine)(float, float)) {
    for (int offset = width/2; offset > 0; offset >>= 1) {
        x = combine(x, shuffle(x)[lane_of_warp() ^ offset]);
    }
    return x;
}

template <int width = 32> float warp_reduce_sum(float x) {
    return warp_reduce<width>(x, [](float a, float b) { return a + b; });
}

template <int width = 32> float warp_reduce_max(float x) {
    return warp_reduce<width>(x, [](float a, float b) { return std::fmax(a, b); });
}

using std::max;
using std::min;
inline float    __uint_as_float(uint32_t u) { return bits_as<float>(u); }
inline uint32_t __float_as_uint(float f) { return bits_as<uint32_t>(f); }
inline half     __float2half_rn(float f) { return half(f); }
