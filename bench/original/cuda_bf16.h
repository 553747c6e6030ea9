// The original recipe's stub for CUDA 10.2, which has no bfloat16: every use becomes half.
#pragma once

#include <cuda_fp16.h>

typedef half nv_bfloat16;
typedef half2 nv_bfloat162;
typedef half __nv_bfloat16;
typedef half2 __nv_bfloat162;
