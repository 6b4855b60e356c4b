// Channels of a lane: loaded at once, computed in f32 or f64.
#pragma once

#include "../../cuda/device.h"

namespace smalti::deform {

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return device::to_float(x); }
__device__ __forceinline__ float widen(f16 x) { return device::to_float(x); }

template <typename T>
__device__ __forceinline__ T narrow(Compute<T> x) {
  return device::from_float<T>(x);
}
template <>
__device__ __forceinline__ double narrow<double>(double x) {
  return x;
}

// The channels of a row, or zeros if !valid. N is 1 or 16 bytes' worth; the vectors load without a branch, so that the
// loads of several rows are under way together.
template <int N, typename T>
__device__ __forceinline__ void load_channels(const T* from, bool valid, Compute<T> (&to)[N]) {
  if constexpr (N == 1) {
    to[0] = valid ? widen(*from) : Compute<T>(0);
  } else {
    const uint4 bits = device::load_const_or_zero(from, valid);
    const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
    SMALTI_UNROLL
    for (int i = 0; i < 4; ++i) {
      if constexpr (N == 4) {
        to[i] = __uint_as_float(words[i]);
      } else {
        const float2 two = device::unpack<T>(words[i]);
        to[2 * i] = two.x, to[2 * i + 1] = two.y;
      }
    }
  }
}

template <int N, typename T>
__device__ __forceinline__ void store_channels(const Compute<T> (&from)[N], T* to) {
  if constexpr (N == 1) {
    *to = narrow<T>(from[0]);
  } else {
    unsigned words[4];
    SMALTI_UNROLL
    for (int i = 0; i < 4; ++i) {
      if constexpr (N == 4) {
        words[i] = __float_as_uint(from[i]);
      } else {
        words[i] = device::pack<T>(from[2 * i], from[2 * i + 1]);
      }
    }
    device::store(to, make_uint4(words[0], words[1], words[2], words[3]));
  }
}

template <int N, typename C>
__device__ __forceinline__ void add_atomically(C* to, const C (&values)[N]) {
  if constexpr (N == 1) {
    device::atomic_add(to, values[0]);
  } else {
    SMALTI_UNROLL
    for (int i = 0; i < N; i += 4)
      device::atomic_add4(to + i, make_float4(values[i], values[i + 1], values[i + 2], values[i + 3]));
  }
}

// Whether 16-byte accesses fit: `p` and all strides, in elements of T.
template <typename T, typename... Strides>
bool vectors_fit(const T* p, Strides... strides) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0 && ((strides * static_cast<int64_t>(sizeof(T)) % 16 == 0) && ...);
}

}  // namespace smalti::deform
