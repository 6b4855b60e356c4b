// CUDA kernels of 2D neighborhood attention, free of torch headers. Arguments are the structures of the CPU kernels
// (cpu/kernel.h) with pointers to device memory. Nothing is allocated, nothing waits for the device, and the bits of
// every result depend on the arguments alone: there are no atomics.
//
// bf16, f16 and float of 16, 32, 64 or 128 channels run in tiles, the halves on tensor cores, when q, k, v and their
// gradients are aligned to 16 bytes (strides are then multiples of 8 elements, 4 of float); everything else runs on one
// warp per token. Both take any odd window up to 13. Which arguments take tiles, tiled.h says.
//
// Functions return 0 or a cudaError_t; `stream` is a cudaStream_t. They exist for float, double, bf16 and f16.
#pragma once

#include <cstdint>

#include "../cpu/kernel.h"

namespace smalti::na2d {

template <typename T>
int forward_cuda(const Na2dForward<T>& args, void* stream);

// Here grad_bias is the whole gradient, [M, 2Ky-1, 2Kx-1], or nullptr. The workspace is device memory of that many
// bytes, aligned to 16, whose contents mean nothing before and after.
template <typename T>
int64_t backward_cuda_workspace(const Na2dBackward<T>& args);
template <typename T>
int backward_cuda(const Na2dBackward<T>& args, void* workspace, void* stream);

}  // namespace smalti::na2d
