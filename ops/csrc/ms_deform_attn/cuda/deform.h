// CUDA kernels of multi-scale deformable attention, free of torch headers. Arguments are the structures of the CPU
// kernels (cpu/kernel.h) with pointers to device memory, save for shape.level, which is host memory. Nothing is
// allocated and nothing waits for the device. The levels follow one another and cover all positions.
//
// Forward and the gradients of offsets and logits have the same bits every time. The gradient of the value is a sum
// over all queries, in one of two ways:
//
//   kFast           f32 atomics, four at a time on sm_90 and newer: the order of the sum differs between runs
//   kDeterministic  each block owns some rows and walks through the points in a fixed order: the same bits every time
//
// Head dims 16, 32, 64 and 128 of f32, bf16 and f16 read 16 bytes per lane if value, out and grad_out allow it (16-byte
// aligned, strides too). All else, f64 among it, reads a channel per lane.
//
// Functions return 0 or a cudaError_t (cudaErrorInvalidValue for shapes whose rows or row strides exceed 32 bits);
// `stream` is a cudaStream_t. They exist for float, double, bf16 and f16.
#pragma once

#include <cstdint>

#include "../cpu/kernel.h"

namespace smalti::deform {

enum class ValueGradient { kFast, kDeterministic };

template <typename T>
int forward_cuda(const DeformForward<T>& args, void* stream);

// The workspace is device memory of that many bytes, aligned to 16, whose contents mean nothing before and after. Fast:
// an f32 copy of grad_value for half types, else nothing. Deterministic: two numbers per query and head.
template <typename T>
int64_t backward_cuda_workspace(const DeformBackward<T>& args, ValueGradient how);
template <typename T>
int backward_cuda(const DeformBackward<T>& args, ValueGradient how, void* workspace, void* stream);

}  // namespace smalti::deform
