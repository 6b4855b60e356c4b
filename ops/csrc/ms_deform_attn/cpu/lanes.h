// Registers of one instruction set as vector types: loads and stores of all element types, reductions over lanes.
#pragma once

#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernel.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <typename C>
constexpr int kLanes = kBytes / sizeof(C);

template <typename C>
struct Register;
template <>
struct Register<float> {
  typedef float Vec __attribute__((vector_size(kBytes)));
  typedef int32_t Ints __attribute__((vector_size(kBytes)));
};
template <>
struct Register<double> {
  typedef double Vec __attribute__((vector_size(kBytes)));
  typedef int64_t Ints __attribute__((vector_size(kBytes)));
};
template <typename C>
using Vec = typename Register<C>::Vec;
// One integer a lane; also what comparisons give: all bits or none.
template <typename C>
using Ints = typename Register<C>::Ints;

typedef int64_t Wide __attribute__((vector_size(kBytes)));
typedef int32_t HalfInts __attribute__((vector_size(kBytes / 2)));
typedef uint32_t Bits __attribute__((vector_size(kBytes)));
typedef uint16_t HalfBits __attribute__((vector_size(kBytes / 2)));

template <int... I>
struct Indices {};
template <int N, int... I>
struct CountTo : CountTo<N - 1, N - 1, I...> {};
template <int... I>
struct CountTo<0, I...> {
  using type = Indices<I...>;
};
template <typename C>
using Each = typename CountTo<kLanes<C>>::type;

template <typename C, int... I>
inline Ints<C> lane_numbers(Indices<I...>) {
  return Ints<C>{I...};
}

template <typename C>
inline Vec<C> load_exact(const C* from) {
  Vec<C> v;
  memcpy(&v, from, kBytes);
  return v;
}

template <typename C>
inline void store_exact(const Vec<C>& v, C* to) {
  memcpy(to, &v, kBytes);
}

// The first `count` lanes; the others are zero and their memory is not touched.
inline Vec<float> load_first(const float* from, int64_t count) {
  if (count >= kLanes<float>) return load_exact(from);
  if (count <= 0) return Vec<float>{};
#if defined(__AVX512F__)
  return Vec<float>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from));
#elif defined(__AVX2__)
  const Ints<float> mask = lane_numbers<float>(Each<float>{}) < static_cast<int32_t>(count);
  return Vec<float>(_mm256_maskload_ps(from, __m256i(mask)));
#else
  Vec<float> v = {};
  for (int64_t i = 0; i < count; ++i) v[i] = from[i];
  return v;
#endif
}

inline Vec<double> load_first(const double* from, int64_t count) {
  if (count >= kLanes<double>) return load_exact(from);
  Vec<double> v = {};
  for (int64_t i = 0; i < count; ++i) v[i] = from[i];
  return v;
}

inline void store_first(const Vec<float>& v, float* to, int64_t count) {
  if (count >= kLanes<float>) return store_exact(v, to);
  if (count <= 0) return;
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), __m512(v));
#elif defined(__AVX2__)
  const Ints<float> mask = lane_numbers<float>(Each<float>{}) < static_cast<int32_t>(count);
  _mm256_maskstore_ps(to, __m256i(mask), __m256(v));
#else
  for (int64_t i = 0; i < count; ++i) to[i] = v[i];
#endif
}

inline void store_first(const Vec<double>& v, double* to, int64_t count) {
  if (count >= kLanes<double>) return store_exact(v, to);
  for (int64_t i = 0; i < count; ++i) to[i] = v[i];
}

// Lane i of `v` from lane i ^ step.
template <int step, typename C, int... I>
inline Vec<C> swapped(const Vec<C>& v, Indices<I...>) {
  return __builtin_shufflevector(v, v, (I ^ step)...);
}

// Every lane of the results holds the sum or the largest of all lanes.
template <typename C, int step = kLanes<C> / 2>
inline Vec<C> sum_lanes(Vec<C> v) {
  v += swapped<step, C>(v, Each<C>{});
  if constexpr (step > 1) v = sum_lanes<C, step / 2>(v);
  return v;
}

template <typename C>
inline Vec<C> larger(const Vec<C>& a, const Vec<C>& b) {
  return a > b ? a : b;
}

template <typename C, int step = kLanes<C> / 2>
inline Vec<C> max_lanes(Vec<C> v) {
  v = larger<C>(v, swapped<step, C>(v, Each<C>{}));
  if constexpr (step > 1) v = max_lanes<C, step / 2>(v);
  return v;
}

// Alternating lanes of the sequence a, b.
template <typename C, int... I>
inline Vec<C> even_lanes(const Vec<C>& a, const Vec<C>& b, Indices<I...>) {
  return __builtin_shufflevector(a, b, (2 * I)...);
}
template <typename C, int... I>
inline Vec<C> odd_lanes(const Vec<C>& a, const Vec<C>& b, Indices<I...>) {
  return __builtin_shufflevector(a, b, (2 * I + 1)...);
}
// The reverse: first and second half of the sequence a0, b0, a1, b1, ...
template <typename C, int... I>
inline Vec<C> zipped_low(const Vec<C>& a, const Vec<C>& b, Indices<I...>) {
  return __builtin_shufflevector(a, b, (I / 2 + I % 2 * kLanes<C>)...);
}
template <typename C, int... I>
inline Vec<C> zipped_high(const Vec<C>& a, const Vec<C>& b, Indices<I...>) {
  return __builtin_shufflevector(a, b, (kLanes<C> / 2 + I / 2 + I % 2 * kLanes<C>)...);
}

// Runs of `run` lanes are halved by adding their halves; results of a and b take turns.
template <int run, typename C, int... I>
inline Vec<C> halve(const Vec<C>& a, const Vec<C>& b, Indices<I...>) {
  constexpr int half = run / 2;
  return __builtin_shufflevector(a, b, (I / run * run + I % half + I % run / half * kLanes<C>)...) +
         __builtin_shufflevector(a, b, (I / run * run + I % half + I % run / half * kLanes<C> + half)...);
}

// Lane i of the result is the sum over the lanes of v[i], for `size` = kLanes registers; v is overwritten.
template <typename C, int size = kLanes<C>>
inline Vec<C> sum_each(Vec<C>* v) {
  if constexpr (size == 1) {
    return v[0];
  } else {
    for (int i = 0; i < size / 2; ++i) v[i] = halve<size, C>(v[i], v[i + size / 2], Each<C>{});
    return sum_each<C, size / 2>(v);
  }
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
