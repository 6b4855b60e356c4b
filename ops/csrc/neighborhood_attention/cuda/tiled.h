// Tiled kernels of 16, 32, 64 or 128 channels: launches, and which arguments they take. bf16 and f16 run on tensor
// cores (mma.h), f32 on plain multiply-adds (patch.h), which keep its precision.
#pragma once

#include <cstdint>
#include <type_traits>

#include "tile.h"

namespace smalti::na2d {

// Aligned to 16 bytes everywhere, with offsets inside an image that 32 bits hold.
template <typename T>
bool suits_tiles(const T* p, const Strides& s, const Na2dShape& shape) {
  constexpr int64_t kBytes = sizeof(T);
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && (s.b | s.y | s.x | s.m) % (16 / kBytes) == 0 && s.y >= 0 &&
         s.x >= 0 && shape.height * s.y + shape.width * s.x < (int64_t{1} << 32) / kBytes - 1;
}
template <typename T>
bool suits_tiles(const T* p, const Na2dShape& s) {  // contiguous
  const int64_t x = s.heads * s.head_dim;
  return suits_tiles(p, {0, s.width * x, x, s.head_dim}, s);
}
template <typename T>
bool suits_tiles(const Na2dShape& s) {
  const bool rows = s.head_dim == 16 || s.head_dim == 32 || s.head_dim == 64 || s.head_dim == 128;
  return !std::is_same_v<T, double> && rows && s.window_y <= 13 && s.window_x <= 13;
}

template <typename T>
bool takes_tiles(const Na2dForward<T>& a) {
  const Na2dShape& s = a.shape;
  return suits_tiles<T>(s) && suits_tiles(a.q, a.q_strides, s) && suits_tiles(a.k, a.k_strides, s) &&
         suits_tiles(a.v, a.v_strides, s) && suits_tiles(a.out, s);
}
template <typename T>
bool takes_tiles(const Na2dBackward<T>& a) {
  const Na2dShape& s = a.shape;
  return suits_tiles<T>(s) && suits_tiles(a.q, a.q_strides, s) && suits_tiles(a.k, a.k_strides, s) &&
         suits_tiles(a.v, a.v_strides, s) && suits_tiles(a.out, s) &&
         suits_tiles(a.grad_out, a.grad_out_strides, s) && suits_tiles(a.grad_q, a.grad_q_strides, s) &&
         suits_tiles(a.grad_k, a.grad_k_strides, s) && suits_tiles(a.grad_v, a.grad_v_strides, s);
}

// Calls launch(std::integral_constant<int, head_dim>) and returns what it does.
template <typename Launch>
int for_head_dim(const Na2dShape& s, const Launch& launch) {
  switch (s.head_dim) {
    case 16: return launch(std::integral_constant<int, 16>());
    case 32: return launch(std::integral_constant<int, 32>());
    case 64: return launch(std::integral_constant<int, 64>());
    default: return launch(std::integral_constant<int, 128>());
  }
}

// For bf16, f16 and float, if takes_tiles(args).
template <typename T>
int tiled_forward(const Na2dForward<T>& args, void* stream);

// Writes delta [B, H, W, M] and, unless nullptr, parts [B, M, tiles of a head, 2Ky-1, 2Kx-1] of the bias gradient.
template <typename T>
int tiled_query_gradients(const Na2dBackward<T>& args, float* delta, float* parts, void* stream);
template <typename T>
int tiled_key_gradients(const Na2dBackward<T>& args, const float* delta, void* stream);
inline int64_t tiled_bias_units(const Na2dShape& s) { return TileGrid(s).tiles_of_head(); }

template <>
int tiled_forward(const Na2dForward<float>& args, void* stream);
template <>
int tiled_query_gradients(const Na2dBackward<float>& args, float* delta, float* parts, void* stream);
template <>
int tiled_key_gradients(const Na2dBackward<float>& args, const float* delta, void* stream);

}  // namespace smalti::na2d
