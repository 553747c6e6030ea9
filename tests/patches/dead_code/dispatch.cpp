// ggml-cuda's dispatch, cut out of the patched source, as plain C++ for GPUs of one known compute capability, CC.
//
// What the compiler proves to be out of reach leaves no trace; what it cannot, for whatever tensor, stays in the object
// file as an undefined symbol. `reached_…` stand for calls that have no symbol of their own.

#include <array>
#include <cstring>
#include <string>

#include "ggml-backend-impl.h"
#include "ggml-cuda.h"
#include "ggml-impl.h"
#include "ggml.h"

struct CUstream_st;
typedef CUstream_st * cudaStream_t;

struct ggml_backend_cuda_context {
    int device;
};
struct ggml_backend_cuda_device_context {
    int device;
};
struct ggml_backend_cuda_buffer_type_context {
    int device;
};

// One GPU, as a Jetson Nano has: all rows are its own.
struct share {
    constexpr float operator[](int) const { return 0.0f; }
};
struct ggml_backend_cuda_split_buffer_type_context {
    static constexpr share tensor_split{};
};
#define ggml_backend_cuda_get_device_count() 1

struct gpu {
    int cc;
    size_t smpbo;
};
struct gpus {
    constexpr gpu operator[](int) const { return {CC, 48 << 10}; }
};
struct info {
    gpus devices;
};
static constexpr info ggml_cuda_info() { return {}; }

__attribute__((const)) bool ggml_backend_buft_is_cuda(ggml_backend_buffer_type_t);
__attribute__((const)) bool ggml_backend_buft_is_cuda_split(ggml_backend_buffer_type_t);
void get_row_split(int64_t *, int64_t *, const ggml_tensor *, const share &, int);

typedef void (*ggml_cuda_op_mul_mat_t)(
    ggml_backend_cuda_context &, const ggml_tensor *, const ggml_tensor *, ggml_tensor *, const char *, const float *,
    const char *, float *, int64_t, int64_t, int64_t, int64_t, cudaStream_t);
typedef void (*quantize_cuda_t)(
    const float *, void *, int64_t, int64_t, int64_t, int64_t, ggml_type, cudaStream_t);
typedef void mul_mat_op(
    ggml_backend_cuda_context &, const ggml_tensor *, const ggml_tensor *, ggml_tensor *, const char *, const float *,
    const char *, float *, int64_t, int64_t, int64_t, int64_t, cudaStream_t);
mul_mat_op ggml_cuda_op_mul_mat_vec, ggml_cuda_op_mul_mat_vec_q, ggml_cuda_op_mul_mat_q, ggml_cuda_op_mul_mat_cublas;
void quantize_row_q8_1_cuda(const float *, void *, int64_t, int64_t, int64_t, int64_t, ggml_type, cudaStream_t);
void quantize_mmq_q8_1_cuda(const float *, void *, int64_t, int64_t, int64_t, int64_t, ggml_type, cudaStream_t);
void ggml_cuda_op_mul_mat(
    ggml_backend_cuda_context &, const ggml_tensor *, const ggml_tensor *, ggml_tensor *, ggml_cuda_op_mul_mat_t,
    quantize_cuda_t);
void ggml_cuda_mul_mat_vec(ggml_backend_cuda_context &, const ggml_tensor *, const ggml_tensor *, ggml_tensor *);
void ggml_cuda_mul_mat_batched_cublas(ggml_backend_cuda_context &, const ggml_tensor *, const ggml_tensor *, ggml_tensor *);
void reached_flash_attn_ext();

// What the series itself adds.
mul_mat_op ggml_cuda_op_mul_mat_vec_half2;
void quantize_row_half2_cuda(const float *, void *, int64_t, int64_t, int64_t, int64_t, ggml_type, cudaStream_t);
bool ggml_cuda_should_use_half2(const ggml_tensor *, const ggml_tensor *, int);

#include "dispatch.inc"

__attribute__((flatten)) void mul_mat(
    ggml_backend_cuda_context & ctx, const ggml_tensor * src0, const ggml_tensor * src1, ggml_tensor * dst) {
    ggml_cuda_mul_mat(ctx, src0, src1, dst);
}

__attribute__((flatten)) void flash_attn_ext(ggml_backend_dev_t dev, ggml_tensor op) {
    op.op = GGML_OP_FLASH_ATTN_EXT;
    if (ggml_backend_cuda_device_supports_op(dev, &op)) {
        reached_flash_attn_ext();
    }
}
