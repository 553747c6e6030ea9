// What adding products up in halves does to a matrix product, by the length of the slices that it is made of.
//
//     gemm ROWS SEED
//
// One line of JSON for each length, kind of activations and slice. cuBLAS is taken to add the products of a slice one
// after the other, each rounded once with its product; slices are added in FP32. An error is in units of the root mean
// square of the exact results.

#include "half.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

int main(int argc, char ** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: gemm ROWS SEED\n");
        return 2;
    }
    const int rows = std::atoi(argv[1]);
    std::mt19937_64 generator(std::atoll(argv[2]));
    std::normal_distribution<double> normal;

    const struct { const char * name; double (*value)(double, int); } kinds[] = {
        {"like a model's", [](double n, int) { return n; }},
        {"heavy tails", [](double n, int i) { return n*(i % 100 == 7 ? 30 : 1); }},
        {"one massive", [](double n, int i) { return i == 133 ? 1e4 : n; }},
        {"all positive", [](double n, int) { return std::fabs(n); }},
    };
    for (const int length : {1536, 8960}) {
        for (const auto & kind : kinds) {
            std::vector<std::vector<uint16_t>> w(rows, std::vector<uint16_t>(length));
            std::vector<uint16_t> x(length);
            std::vector<double> exact(rows);
            for (int i = 0; i < length; ++i) {
                const float value = kind.value(normal(generator), i);
                x[i] = half_bits(value);
                for (int r = 0; r < rows; ++r) {
                    w[r][i] = half_bits(0.02*normal(generator));
                    exact[r] += double(half_value(w[r][i]))*value;
                }
            }
            for (const int slice : {256, 512, 1024, 2048, length}) {
                double squares = 0, worst = 0, size = 0;
                for (int r = 0; r < rows; ++r) {
                    float sum = 0;
                    for (int begin = 0; begin < length; begin += slice) {
                        uint16_t part = 0;
                        for (int i = begin; i < std::min(begin + slice, length); ++i) {
                            part = half_fma(w[r][i], x[i], part);
                        }
                        sum += half_value(part);
                    }
                    const double error = std::isfinite(sum) ? std::fabs(sum - exact[r]) : 1e300;
                    squares += error*error / rows;
                    worst = std::max(worst, error);
                    size += exact[r]*exact[r] / rows;
                }
                std::printf("{\"length\": %d, \"activations\": \"%s\", \"slice\": %d, \"rms\": %.4g, \"worst\": %.4g}\n",
                    length, kind.name, slice, std::sqrt(squares / size), worst / std::sqrt(size));
            }
        }
    }
    return 0;
}
