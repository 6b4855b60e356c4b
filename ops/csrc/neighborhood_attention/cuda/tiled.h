// Tensor-core kernels for halves of 32 or 64 channels: launches, and which arguments they take.
#pragma once

#include <cstdint>

#include "tile.h"

namespace smalti::na2d {

// Aligned to 16 bytes everywhere, with offsets inside an image that 32 bits hold.
inline bool suits_tiles(const void* p, const Strides& s, const Na2dShape& shape) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && (s.b | s.y | s.x | s.m) % 8 == 0 && s.y >= 0 && s.x >= 0 &&
         shape.height * s.y + shape.width * s.x < INT32_MAX;
}
inline bool suits_tiles(const void* p, const Na2dShape& s) {  // contiguous
  const int64_t x = s.heads * s.head_dim;
  return suits_tiles(p, {0, s.width * x, x, s.head_dim}, s);
}
inline bool suits_tiles(const Na2dShape& s) {
  return (s.head_dim == 32 || s.head_dim == 64) && s.window_y <= 13 && s.window_x <= 13;
}

template <typename T>
bool takes_tiles(const Na2dForward<T>& a) {
  const Na2dShape& s = a.shape;
  return suits_tiles(s) && suits_tiles(a.q, a.q_strides, s) && suits_tiles(a.k, a.k_strides, s) &&
         suits_tiles(a.v, a.v_strides, s) && suits_tiles(a.out, s);
}
template <typename T>
bool takes_tiles(const Na2dBackward<T>& a) {
  const Na2dShape& s = a.shape;
  return suits_tiles(s) && suits_tiles(a.q, a.q_strides, s) && suits_tiles(a.k, a.k_strides, s) &&
         suits_tiles(a.v, a.v_strides, s) && suits_tiles(a.out, s) &&
         suits_tiles(a.grad_out, a.grad_out_strides, s) && suits_tiles(a.grad_q, a.grad_q_strides, s) &&
         suits_tiles(a.grad_k, a.grad_k_strides, s) && suits_tiles(a.grad_v, a.grad_v_strides, s);
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
