// clang includes it in every CUDA file, and the packages do not bring it.
