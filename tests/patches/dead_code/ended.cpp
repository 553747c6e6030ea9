// Calls what stands in the place of a kernel's launcher in a build without it, with a GPU of compute capability 6.1.

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "ggml.h"

struct CUstream_st;
typedef CUstream_st * cudaStream_t;

struct ggml_backend_cuda_context {
    int device;
};
struct gpu {
    int cc;
};
struct info {
    gpu devices[1];
};
static inline info ggml_cuda_info() { return {{{610}}}; }

void ggml_abort(const char *, int, const char * format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
    _Exit(1);
}

#include "left.inc"

int main() {
    ggml_backend_cuda_context context{0};
#include "call.inc"
    ;
}
