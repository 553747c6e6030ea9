// Halves as a GPU computes with them: rounded once, to nearest even, subnormals kept.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

template <class To, class From> To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From), "other sizes");
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

// Rounds to nearest even.
inline uint16_t half_bits(float value) {
    const uint32_t whole = bits_as<uint32_t>(value);
    const uint32_t sign = whole >> 16 & 0x8000;
    const uint32_t u = whole & 0x7FFFFFFF;
    if (u > 0x7F800000) {
        return sign | 0x7E00;
    }
    if (u >= 0x47800000) { // 2^16
        return sign | 0x7C00;
    }
    if (u < 0x38800000) { // 2^-14: the last place of 0.5 is that of a subnormal half
        return sign | (bits_as<uint32_t>(bits_as<float>(u) + 0.5f) - 0x3F000000);
    }
    return sign | ((u - 0x38000000 + 0xFFF + (u >> 13 & 1)) >> 13);
}

inline float half_value(uint16_t bits) {
    static const auto table = [] {
        std::array<float, 65536> values;
        for (uint32_t h = 0; h < 65536; ++h) {
            const int exponent = h >> 10 & 31;
            const int mantissa = h & 1023;
            const float size = exponent == 31 ? (mantissa ? NAN : INFINITY)
                             : exponent == 0  ? std::ldexp(float(mantissa), -24)
                                              : std::ldexp(float(1024 + mantissa), exponent - 25);
            values[h] = h & 0x8000 ? -size : size;
        }
        return values;
    }();
    return table[bits];
}

// a*b + c of halves, rounded once. The product is exact in a double; what the sum and the step to a float lose goes
// into the last bit (rounding to odd), so that the step to a half rounds as if from the exact value.
inline uint16_t half_fma(uint16_t a, uint16_t b, uint16_t c) {
    const double product = double(half_value(a)) * half_value(b);
    const double addend = half_value(c);
    const double sum = product + addend;
    if (sum == 0 || !std::isfinite(sum)) {
        return half_bits(float(sum));
    }
    const double other = sum - product;
    const double lost = (product - (sum - other)) + (addend - other);
    uint64_t u = bits_as<uint64_t>(sum);
    if (lost != 0) {
        u = (u - ((lost < 0) != (sum < 0))) | 1;
    }
    const uint32_t sign = u >> 63 << 31;
    const uint32_t rest = uint32_t((u & 0x7FFFFFFFFFFFFFFF) >> 29) - (896u << 23);
    return half_bits(bits_as<float>(sign | rest | ((u & 0x1FFFFFFF) != 0)));
}
