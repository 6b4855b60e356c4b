// Tensor-core kernels for halves of 32 or 64 channels: launches, and which arguments they take.
#pragma once

#include <cstdint>

#include "../cpu/kernel.h"

namespace smalti::na2d {

inline bool aligned(const void* p, const Strides& s) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && (s.b | s.y | s.x | s.m) % 8 == 0;
}
inline bool tiled_shape(const Na2dShape& s) {
  return (s.head_dim == 32 || s.head_dim == 64) && s.window_y <= 13 && s.window_x <= 13;
}

template <typename T>
bool takes_tiles(const Na2dForward<T>& a) {
  if constexpr (sizeof(T) != 2) return false;
  return tiled_shape(a.shape) && aligned(a.q, a.q_strides) && aligned(a.k, a.k_strides) && aligned(a.v, a.v_strides) &&
         aligned(a.out, {});
}

template <typename T>
int tiled_forward(const Na2dForward<T>& args, void* stream);

}  // namespace smalti::na2d
