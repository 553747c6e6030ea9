// ggml-common.h includes it; common.cuh beside it has what it stands for.
