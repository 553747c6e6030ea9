// How far mul_mat_vec_half2 and mul_mat_vec_q are from the exact product, both as their device code computes it.
//
//     error ROWS SEED WEIGHTS
//
// WEIGHTS is a file of floats, a real model's. One line of JSON for each type, kind of weights and kind of activations. Exact is the FP64 sum of ggml's own
// dequantized weights times the unrounded activations; an error is in units of |weights| * |activations| (2-norms),
// so that cancellation in the sum counts for neither side.

#include "common.cuh"
#include "half2.cuh"
#include "vecdotq.cuh"

extern "C" {
#include "ggml-quants.h"
}

#include <cmath>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

extern "C" float ggml_table_f32_f16[65536]; // ggml-quants.c looks its halves up
float ggml_table_f32_f16[65536];

namespace {

std::mt19937_64 generator;

double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(generator); }
double normal() { return std::normal_distribution<double>()(generator); }
bool one_in(int n) { return generator() % n == 0; }

struct Type {
    ggml_type type;
    const char * name;
    int block;      // weights
    size_t bytes;
    int qi, vdr;    // how mul_mat_vec_q shares a block between threads
    std::initializer_list<size_t> halves; // where in a block the scales of type half are
    void (*quantize)(const float *, void *, int64_t);
    void (*dequantize)(const void *, float *, int64_t);
    float (*dot)(const void *, const block_q8_1 *, const int &, const int &);
    void (*activations)(const float *, char *, int ne, int padded, int columns);
    void (*multiply)(const char *, const char *, float *, int ne, int rows, int64_t row_bytes, int64_t col_bytes, int columns);
};

template <ggml_type type> void activations(const float * x, char * y, int ne, int padded, int columns) {
    launch({(padded + 255) / 256, columns}, {256, 1}, [=] { half2_activations<type>(x, y, ne, padded); });
}

template <ggml_type type, int columns>
void multiply_columns(const char * x, const char * y, float * dst, int ne, int rows, int64_t row_bytes, int64_t col_bytes) {
    launch({(rows*HALF2_LANES + HALF2_THREADS - 1) / HALF2_THREADS, 1}, {HALF2_THREADS, 1}, [=] {
        mul_mat_vec_half2<type, columns>(x, y, dst, ne / HALF2_CHUNK, row_bytes, col_bytes, rows, rows);
    });
}

template <ggml_type type>
void multiply(const char * x, const char * y, float * dst, int ne, int rows, int64_t row_bytes, int64_t col_bytes, int columns) {
    void (*const by_columns[])(const char *, const char *, float *, int, int, int64_t, int64_t) = {
        multiply_columns<type, 1>, multiply_columns<type, 2>, multiply_columns<type, 3>, multiply_columns<type, 4>};
    by_columns[columns - 1](x, y, dst, ne, rows, row_bytes, col_bytes);
}

#define FUNCTIONS(TYPE, name) \
    [](const float * x, void * y, int64_t k) { quantize_row_##name##_ref(x, (block_##name *) y, k); }, \
    [](const void * x, float * y, int64_t k) { dequantize_row_##name((const block_##name *) x, y, k); }, \
    vec_dot_##name##_q8_1, activations<TYPE>, multiply<TYPE>

const Type TYPES[] = {
    {GGML_TYPE_Q4_0, "Q4_0", QK4_0, sizeof(block_q4_0), QI4_0, VDR_Q4_0_Q8_1_MMVQ, {0}, FUNCTIONS(GGML_TYPE_Q4_0, q4_0)},
    {GGML_TYPE_Q8_0, "Q8_0", QK8_0, sizeof(block_q8_0), QI8_0, VDR_Q8_0_Q8_1_MMVQ, {0}, FUNCTIONS(GGML_TYPE_Q8_0, q8_0)},
    {GGML_TYPE_Q4_K, "Q4_K", QK_K, sizeof(block_q4_K), QI4_K, VDR_Q4_K_Q8_1_MMVQ, {0, 2}, FUNCTIONS(GGML_TYPE_Q4_K, q4_K)},
    {GGML_TYPE_Q6_K, "Q6_K", QK_K, sizeof(block_q6_K), QI6_K, VDR_Q6_K_Q8_1_MMVQ, {208}, FUNCTIONS(GGML_TYPE_Q6_K, q6_K)},
};

struct Weights {
    const char * name;
    void (*fill)(const Type & type, char * x, size_t blocks);
};

void quantized(const Type & type, char * x, size_t blocks, double (*value)()) {
    std::vector<float> row(type.block);
    for (size_t i = 0; i < blocks; ++i) {
        for (float & w : row) {
            w = value();
        }
        type.quantize(row.data(), x + i*type.bytes, type.block);
    }
}

// Bytes from `byte`, scales from `scale`.
void raw(const Type & type, char * x, size_t blocks, int (*byte)(), double (*scale)()) {
    for (size_t i = 0; i < blocks*type.bytes; ++i) {
        x[i] = byte();
    }
    for (size_t i = 0; i < blocks; ++i) {
        for (const size_t at : type.halves) {
            const uint16_t h = half_bits(scale());
            std::memcpy(x + i*type.bytes + at, &h, sizeof(h));
        }
    }
}

std::vector<float> real; // weights of a model, one after the other

const Weights WEIGHTS[] = {
    {"a model's", [](const Type & type, char * x, size_t blocks) {
        static size_t next = 0;
        quantized(type, x, blocks, [] { return double(real[next++ % real.size()]); }); }},
    {"like a model's", [](const Type & type, char * x, size_t blocks) {
        quantized(type, x, blocks, [] { return 0.02*normal(); }); }},
    {"with outliers", [](const Type & type, char * x, size_t blocks) {
        quantized(type, x, blocks, [] { return 0.02*normal() * (one_in(50) ? 20 : 1); }); }},
    {"any bits", [](const Type & type, char * x, size_t blocks) {
        raw(type, x, blocks, [] { return int(generator() & 0xFF); }, [] { return normal()*std::exp2(uniform(-14, 0)); }); }},
    {"least and most", [](const Type & type, char * x, size_t blocks) {
        raw(type, x, blocks, [] { static const int bytes[] = {0x00, 0xFF, 0x7F, 0x80}; return bytes[generator() % 4]; },
            [] { return one_in(2) ? 65504.0 : std::exp2(-24); }); }},
    {"all the same", [](const Type & type, char * x, size_t blocks) {
        static double same;
        for (size_t i = 0; i < blocks; ++i) {
            same = normal();
            quantized(type, x + i*type.bytes, 1, [] { return same; });
        } }},
};

struct Activations {
    const char * name;
    double (*value)(int i);
};

const Activations ACTIVATIONS[] = {
    {"like a model's", [](int) { return normal(); }},
    {"heavy tails", [](int) { return normal()*std::exp(2*normal()); }},
    {"one massive", [](int i) { return normal() * (i == 133 ? 1e4 : 1); }},
    {"all positive", [](int) { return std::fabs(normal()); }},
    {"one sign, same size", [](int) { return 1.7; }},
    {"alternating", [](int i) { return (i % 2 == 0 ? 1 : -1) * (1 + 1e-3*normal()); }},
    {"all magnitudes", [](int i) { return normal()*std::exp2(-(i % 32)); }},
    {"one alone", [](int i) { return i == 40 ? 3.14159 : 0.0; }},
    {"tiny", [](int) { return 1e-15*normal(); }},
    {"huge", [](int) { return 3e6*normal(); }},
};

// As quantize_q8_1 in quantize.cu.
std::vector<block_q8_1> q8_1(const std::vector<float> & x) {
    std::vector<block_q8_1> y(x.size() / QK8_1);
    for (size_t b = 0; b < y.size(); ++b) {
        float amax = 0.0f, sum = 0.0f;
        for (int i = 0; i < QK8_1; ++i) {
            amax = std::fmax(amax, std::fabs(x[b*QK8_1 + i]));
            sum += x[b*QK8_1 + i];
        }
        const float d = amax / 127;
        for (int i = 0; i < QK8_1; ++i) {
            y[b].qs[i] = amax == 0.0f ? 0 : std::round(x[b*QK8_1 + i] / d);
        }
        y[b].ds = {half(d), half(sum)};
    }
    return y;
}

// The sum over a row as mul_mat_vec_q shares it out.
float row_q8_1(const Type & type, const char * row, const std::vector<block_q8_1> & y, int ne) {
    float sum = 0.0f;
    for (int block = 0; block < ne / type.block; ++block) {
        for (int iqs = 0; iqs < type.qi; iqs += type.vdr) {
            sum += type.dot(row, &y[block*(type.block / QK8_1)], block, iqs);
        }
    }
    return sum;
}

struct Error {
    double squares = 0, greatest = 0;
    void add(double error) {
        error = std::isfinite(error) ? std::fabs(error) : INFINITY;
        squares += error*error;
        greatest = std::fmax(greatest, error);
    }
};

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.4g", value);
    return std::isfinite(value) ? text : "1e999";
}

void measure(const Type & type, const Weights & weights, const Activations & kind, int ne, int columns, int rows) {
    const int padded = (ne + HALF2_GROUP - 1) / HALF2_GROUP * HALF2_GROUP;
    const int64_t row_bytes = ne / type.block * type.bytes;
    const int64_t col_bytes = padded / HALF2_GROUP * HALF2_GROUP_BYTES;

    // Rows begin where cudaMalloc would put them, and end with the array.
    const size_t size = rows*row_bytes;
    std::unique_ptr<char, void (*)(void *)> x((char *) std::aligned_alloc(256, (size + 255) / 256 * 256), std::free);
    weights.fill(type, x.get(), size / type.bytes);

    std::vector<float> values(columns*ne);
    for (size_t i = 0; i < values.size(); ++i) {
        values[i] = kind.value(i % ne);
    }
    std::unique_ptr<char, void (*)(void *)> y((char *) std::aligned_alloc(256, (columns*col_bytes + 255) / 256 * 256), std::free);
    std::vector<float> ours(columns*rows);
    readable[0] = {x.get(), x.get() + size};
    readable[1] = {y.get(), y.get() + columns*col_bytes};
    type.activations(values.data(), y.get(), ne, padded, columns);
    type.multiply(x.get(), y.get(), ours.data(), ne, rows, row_bytes, col_bytes, columns);

    Error half2, peer;
    std::vector<float> row(ne);
    for (int j = 0; j < columns; ++j) {
        const std::vector<float> column(values.begin() + j*ne, values.begin() + (j + 1)*ne);
        const std::vector<block_q8_1> quantized = q8_1(column);
        for (int r = 0; r < rows; ++r) {
            type.dequantize(x.get() + r*row_bytes, row.data(), ne);
            double exact = 0, ww = 0, xx = 0;
            for (int i = 0; i < ne; ++i) {
                exact += double(row[i])*column[i];
                ww += double(row[i])*row[i];
                xx += double(column[i])*column[i];
            }
            const double size_of_both = std::sqrt(ww)*std::sqrt(xx);
            if (size_of_both == 0) {
                continue;
            }
            half2.add((ours[j*rows + r] - exact) / size_of_both);
            peer.add((row_q8_1(type, x.get() + r*row_bytes, quantized, ne) - exact) / size_of_both);
        }
    }
    const double n = double(rows)*columns;
    std::printf("{\"type\": \"%s\", \"weights\": \"%s\", \"activations\": \"%s\", \"columns\": %d, \"length\": %d, \"blocks\": %lld, "
        "\"half2\": [%s, %s], \"q8_1\": [%s, %s]}\n", type.name, weights.name, kind.name, columns, ne,
        (long long) (rows*int64_t(columns)*ne / 32), number(std::sqrt(half2.squares / n)).c_str(), number(half2.greatest).c_str(),
        number(std::sqrt(peer.squares / n)).c_str(), number(peer.greatest).c_str());
}

} // namespace

int main(int argc, char ** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: error ROWS SEED WEIGHTS\n");
        return 2;
    }
    std::ifstream file(argv[3], std::ios::binary);
    for (float w; file.read((char *) &w, sizeof(w));) {
        real.push_back(w);
    }
    if (real.empty()) {
        std::fprintf(stderr, "no weights in %s\n", argv[3]);
        return 2;
    }
    const int rows = std::atoi(argv[1]);
    generator.seed(std::atoll(argv[2]));
    for (int h = 0; h < 65536; ++h) {
        ggml_table_f32_f16[h] = half_value(h);
    }
    // A group and a bit; the width of Qwen2.5-1.5B and an odd number of blocks of 256, for which every second row of
    // Q6_K begins at a 2-byte boundary.
    const int lengths[] = {768, 1536, 1280};
    const int short_lengths[] = {64, 896, 1536}; // of types with blocks of 32
    int turn = 0;
    for (const Type & type : TYPES) {
        for (const Weights & weights : WEIGHTS) {
            for (const Activations & kind : ACTIVATIONS) {
                const int ne = (type.block == QK_K ? lengths : short_lengths)[turn % 3];
                measure(type, weights, kind, ne, 1 + turn % 4, rows);
                ++turn;
            }
        }
    }
    return 0;
}
