// Vectors of the instruction set that a kernel file is compiled for. Included by files that are compiled once per
// instruction set: everything has internal linkage.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "element.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
constexpr int64_t kVectorRegisters = 32;
#elif defined(__AVX__)
constexpr int64_t kVectorBytes = 32;
constexpr int64_t kVectorRegisters = 16;
#else
constexpr int64_t kVectorBytes = 16;
constexpr int64_t kVectorRegisters = 16;
#endif

template <typename C>
struct Simd;
template <>
struct Simd<float> {
  typedef float Vector __attribute__((vector_size(kVectorBytes)));
  typedef int32_t Mask __attribute__((vector_size(kVectorBytes)));
};
template <>
struct Simd<double> {
  typedef double Vector __attribute__((vector_size(kVectorBytes)));
  typedef int64_t Mask __attribute__((vector_size(kVectorBytes)));
};
template <typename C>
using Vec = typename Simd<C>::Vector;
template <typename C>
using VecMask = typename Simd<C>::Mask;

// Vectors of one float register's lanes in narrower integers, for half types.
typedef uint16_t VecU16 __attribute__((vector_size(kVectorBytes / 2)));
typedef uint32_t VecU32 __attribute__((vector_size(kVectorBytes)));

template <typename C>
constexpr int64_t kLanes = kVectorBytes / static_cast<int64_t>(sizeof(C));

#define SMALTI_INLINE inline __attribute__((always_inline))

template <typename C>
SMALTI_INLINE Vec<C> load(const C* from) {
  Vec<C> v;
  memcpy(&v, from, sizeof(v));
  return v;
}
template <typename C>
SMALTI_INLINE void store(C* to, Vec<C> v) {
  memcpy(to, &v, sizeof(v));
}
template <typename C>
SMALTI_INLINE Vec<C> broadcast(C x) {
  return x - Vec<C>{};
}
template <typename C>
SMALTI_INLINE Vec<C> larger(Vec<C> a, Vec<C> b) {
  return a > b ? a : b;
}

// Conversion of one vector between a storage type and the type of the arithmetic.
SMALTI_INLINE Vec<float> load_as(const float* from) { return load(from); }
SMALTI_INLINE Vec<double> load_as(const double* from) { return load(from); }
SMALTI_INLINE void store_as(float* to, Vec<float> v) { store(to, v); }
SMALTI_INLINE void store_as(double* to, Vec<double> v) { store(to, v); }

SMALTI_INLINE Vec<float> load_as(const bf16* from) {
  VecU16 bits;
  memcpy(&bits, from, sizeof(bits));
  const VecU32 wide = __builtin_convertvector(bits, VecU32) << 16;
  return reinterpret_cast<Vec<float>>(wide);
}

SMALTI_INLINE void store_as(bf16* to, Vec<float> v) {
  const VecU32 bits = reinterpret_cast<VecU32>(v);
  const VecU32 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
  const VecU32 quiet = (bits >> 16) | 0x40u;
  const VecU32 result = (bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded;
  const VecU16 narrow = __builtin_convertvector(result, VecU16);
  memcpy(to, &narrow, sizeof(narrow));
}

#if defined(__AVX512F__)
// The forms that zero masked lanes, with no lane masked: GCC 12 warns of undefined operands inside the plain ones.
constexpr __mmask16 kEveryLane = 0xffff;
SMALTI_INLINE Vec<float> load_as(const f16* from) {
  return _mm512_maskz_cvtph_ps(kEveryLane, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
SMALTI_INLINE void store_as(f16* to, Vec<float> v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_maskz_cvtps_ph(kEveryLane, v, _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__F16C__)
SMALTI_INLINE Vec<float> load_as(const f16* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
SMALTI_INLINE void store_as(f16* to, Vec<float> v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
#else
SMALTI_INLINE float float_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}
SMALTI_INLINE float widen(f16 h) {
  const uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000u) << 16, rest = h.bits & 0x7fffu;
  if (rest >= 0x7c00u) return float_of_bits(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  // The exponent moves from bias 15 to 127 in one product, which is exact and also normalises subnormals.
  const float magnitude = float_of_bits(rest << 13) * 0x1p112f;
  return sign != 0 ? -magnitude : magnitude;
}
SMALTI_INLINE f16 narrow(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  const uint32_t sign = (bits >> 16) & 0x8000u, rest = bits & 0x7fffffffu;
  uint32_t half;
  if (rest > 0x7f800000u) {
    half = 0x7e00u | ((rest >> 13) & 0x3ffu);
  } else if (rest >= 0x477ff000u) {  // rounds to infinity
    half = 0x7c00u;
  } else if (rest >= 0x38800000u) {  // normal: to nearest, ties to even
    half = (rest - 0x38000000u + 0xfffu + ((rest >> 13) & 1u)) >> 13;
  } else {  // subnormal: in units of 2^-24
    half = static_cast<uint32_t>(lrintf(float_of_bits(rest) * 0x1p24f));
  }
  return {static_cast<uint16_t>(sign | half)};
}
SMALTI_INLINE Vec<float> load_as(const f16* from) {
  float lanes[kLanes<float>];
  for (int64_t l = 0; l < kLanes<float>; ++l) lanes[l] = widen(from[l]);
  return load(lanes);
}
SMALTI_INLINE void store_as(f16* to, Vec<float> v) {
  float lanes[kLanes<float>];
  store(lanes, v);
  for (int64_t l = 0; l < kLanes<float>; ++l) to[l] = narrow(lanes[l]);
}
#endif

// The first `count` lanes only; the others read as zero.
template <typename T>
SMALTI_INLINE Vec<Compute<T>> load_first(const T* from, int64_t count) {
  constexpr int64_t L = kLanes<Compute<T>>;
  if (count >= L) return load_as(from);
  T padded[L] = {};
  memcpy(padded, from, count * sizeof(T));
  return load_as(padded);
}
template <typename T>
SMALTI_INLINE void store_first(T* to, Vec<Compute<T>> v, int64_t count) {
  constexpr int64_t L = kLanes<Compute<T>>;
  if (count >= L) return store_as(to, v);
  T padded[L];
  store_as(padded, v);
  memcpy(to, padded, count * sizeof(T));
}

template <int64_t... L>
struct LaneList {};
template <int64_t N, int64_t... L>
struct LanesUpTo : LanesUpTo<N - 1, N - 1, L...> {};
template <int64_t... L>
struct LanesUpTo<0, L...> {
  using List = LaneList<L...>;
};

// Swaps the off-diagonal blocks of size Step of two rows: one step of a transposition by halving.
template <int64_t Step, typename C, int64_t... L>
SMALTI_INLINE void exchange(Vec<C>& a, Vec<C>& b, LaneList<L...>) {
  const Vec<C> x = a, y = b;
  a = Vec<C>{((L & Step) != 0 ? y[L & ~Step] : x[L])...};
  b = Vec<C>{((L & Step) != 0 ? y[L] : x[L | Step])...};
}
template <int64_t Step, typename C>
SMALTI_INLINE void transpose_from(Vec<C>* rows) {
  if constexpr (Step < kLanes<C>) {
    for (int64_t i = 0; i < kLanes<C>; ++i)
      if ((i & Step) == 0) exchange<Step, C>(rows[i], rows[i + Step], typename LanesUpTo<kLanes<C>>::List());
    transpose_from<2 * Step, C>(rows);
  }
}
// A square block of lanes x lanes elements, in place.
template <typename C>
SMALTI_INLINE void transpose(Vec<C>* rows) {
  transpose_from<1, C>(rows);
}

// e^x for x <= 0 (or barely above); zero below about e^-87.
SMALTI_INLINE Vec<float> exponential(Vec<float> x) {
  // 2^n * e^f with |f| <= ln2 / 2 and a degree-6 polynomial: about 1 ulp. Truncation rounds to nearest as x <= 0.
  const Vec<float> bounded = x < -87.0f ? broadcast(-87.0f) : x;  // keeps NaN
  const VecMask<float> n = __builtin_convertvector(bounded * 1.44269504f - 0.5f, VecMask<float>);
  const Vec<float> whole = __builtin_convertvector(n, Vec<float>);
  // ln2 in two parts, the first short enough that its product is exact: the compiler must not add the parts up.
  Vec<float> f = bounded - whole * 0.693145752f;
#if defined(__x86_64__)
  __asm__("" : "+v"(f));
#endif
  f = f - whole * 1.42860677e-6f;
  Vec<float> p = f * 1.3888889e-3f + 8.3333333e-3f;
  p = p * f + 4.1666667e-2f;
  p = p * f + 1.6666667e-1f;
  p = p * f + 0.5f;
  p = p * f + 1.0f;
  p = p * f + 1.0f;
  const Vec<float> power = reinterpret_cast<Vec<float>>((n + 127) << 23);
  return x < -87.0f ? Vec<float>{} : p * power;
}
SMALTI_INLINE Vec<double> exponential(Vec<double> x) {
  double lanes[kLanes<double>];
  store(lanes, x);
  for (double& lane : lanes) lane = exp(lane);
  return load(lanes);
}

// log x for normal x > 0.
SMALTI_INLINE Vec<float> logarithm(Vec<float> x) {
  // x = 2^n * m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1) / (m + 1)), a short series.
  const VecMask<float> bits = reinterpret_cast<VecMask<float>>(x);
  const VecMask<float> n = (bits - 0x3f3504f3) >> 23;
  const Vec<float> m = reinterpret_cast<Vec<float>>(bits - (n << 23));
  const Vec<float> s = (m - 1.0f) / (m + 1.0f), square = s * s;
  Vec<float> p = square * 0.111111111f + 0.142857143f;
  p = p * square + 0.2f;
  p = p * square + 0.333333333f;
  return __builtin_convertvector(n, Vec<float>) * 0.693147181f + (s + s) * (p * square + 1.0f);
}
SMALTI_INLINE Vec<double> logarithm(Vec<double> x) {
  double lanes[kLanes<double>];
  store(lanes, x);
  for (double& lane : lanes) lane = log(lane);
  return load(lanes);
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
