// Arithmetic that the kernels share: conversion to the type they compute in, and reductions over a warp.
#pragma once

#include <cstdint>

#include "../../cuda/device.h"
#include "../cpu/kernel.h"

namespace smalti::na2d {

__device__ __forceinline__ double widen(double x) { return x; }
template <typename T>
__device__ __forceinline__ float widen(T x) {
  return device::to_float(x);
}

template <typename T>
__device__ __forceinline__ T narrow(Compute<T> x) {
  return device::from_float<T>(x);
}
template <>
__device__ __forceinline__ double narrow<double>(double x) {
  return x;
}

// Sums over groups of `Lanes` neighbouring lanes; every lane gets its group's.
template <int Lanes, typename C>
__device__ __forceinline__ C lanes_sum(C x) {
  SMALTI_UNROLL
  for (int step = Lanes / 2; step > 0; step /= 2) x += device::shuffle_xor(x, step);
  return x;
}
template <int Lanes, typename C>
__device__ __forceinline__ C lanes_max(C x) {
  SMALTI_UNROLL
  for (int step = Lanes / 2; step > 0; step /= 2) {
    const C other = device::shuffle_xor(x, step);
    x = x < other ? other : x;
  }
  return x;
}

__device__ __forceinline__ int64_t offset(const Strides& strides, int64_t b, int64_t y, int64_t x, int64_t m) {
  return b * strides.b + y * strides.y + x * strides.x + m * strides.m;
}

}  // namespace smalti::na2d
