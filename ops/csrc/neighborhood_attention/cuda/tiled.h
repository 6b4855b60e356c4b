// Tensor-core kernels for halves of 32 or 64 channels: launches, and which arguments they take.
#pragma once

#include <cstdint>

#include "tile.h"

namespace smalti::na2d {

inline bool aligned(const void* p, const Strides& s) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && (s.b | s.y | s.x | s.m) % 8 == 0;
}
inline bool tiled_shape(const Na2dShape& s) {
  return (s.head_dim == 32 || s.head_dim == 64) && s.window_y <= 13 && s.window_x <= 13;
}

template <typename T>
bool takes_tiles(const Na2dForward<T>& a) {
  return tiled_shape(a.shape) && aligned(a.q, a.q_strides) && aligned(a.k, a.k_strides) && aligned(a.v, a.v_strides) &&
         aligned(a.out, {});
}
template <typename T>
bool takes_tiles(const Na2dBackward<T>& a) {
  return tiled_shape(a.shape) && aligned(a.q, a.q_strides) && aligned(a.k, a.k_strides) && aligned(a.v, a.v_strides) &&
         aligned(a.out, {}) && aligned(a.grad_out, a.grad_out_strides) && aligned(a.grad_q, a.grad_q_strides) &&
         aligned(a.grad_k, a.grad_k_strides) && aligned(a.grad_v, a.grad_v_strides);
}

template <typename T>
int tiled_forward(const Na2dForward<T>& args, void* stream);

// Writes delta [B, H, W, M] and, unless nullptr, parts [B, M, tiles of a head, 2Ky-1, 2Kx-1] of the bias gradient.
template <typename T>
int tiled_query_gradients(const Na2dBackward<T>& args, float* delta, float* parts, void* stream);
template <typename T>
int tiled_key_gradients(const Na2dBackward<T>& args, const float* delta, void* stream);
inline int64_t tiled_bias_units(const Na2dShape& s) { return TileGrid(s).tiles_of_head(); }

}  // namespace smalti::na2d
