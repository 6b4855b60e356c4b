// Channels of rows of any element type as registers of the compute type.
//
// A block is N registers of channels. Inside a block the channels may sit in any order, the same for every row of that
// element type: a register of bf16 splits cheapest into its even and odd channels.
#pragma once

#include "lanes.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

inline float as_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Largest finite values round to infinity by carry; NaN stays NaN.
inline Bits bf16_rounded(const Vec<float>& v) {
  const Bits bits = Bits(v);
  const Bits rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return (bits & 0x7fffffff) > 0x7f800000 ? (bits | 0x400000) : rounded;
}

inline Vec<float> widened(const HalfBits& v, bf16) { return Vec<float>(__builtin_convertvector(v, Bits) << 16); }
inline HalfBits narrowed(const Vec<float>& v, bf16) { return __builtin_convertvector(bf16_rounded(v) >> 16, HalfBits); }

inline Vec<float> widened(const HalfBits& v, f16) {
#if defined(__AVX512F__)
  return Vec<float>(_mm512_maskz_cvtph_ps(0xffff, __m256i(v)));
#elif defined(__F16C__)
  return Vec<float>(_mm256_cvtph_ps(__m128i(v)));
#else
  // The bits as a float of exponent bias 15, scaled to bias 127; infinities and NaN keep all exponent bits.
  const Bits bits = __builtin_convertvector(v, Bits);
  const Bits scaled = Bits(Vec<float>((bits & 0x7fff) << 13) * 0x1p112f);
  const Bits special = (bits & 0x7c00) == 0x7c00 ? Bits{} + 0x7f800000 : Bits{};
  return Vec<float>(scaled | special | (bits & 0x8000) << 16);
#endif
}

inline HalfBits narrowed(const Vec<float>& v, f16) {
#if defined(__AVX512F__)
  return HalfBits(_mm512_maskz_cvtps_ph(0xffff, __m512(v), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
  return HalfBits(_mm256_cvtps_ph(__m256(v), _MM_FROUND_TO_NEAREST_INT));
#else
  const Bits bits = Bits(v), magnitude = bits & 0x7fffffff;
  // Normal halves: round to 10 fraction bits and change the bias.
  const Bits normal = (magnitude - (112u << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
  // Subnormal halves: the sum's last bit is worth 2^-24, so that the addition rounds.
  const Bits small = Bits(Vec<float>(magnitude) + 0.5f) - 0x3f000000;
  const Bits special = magnitude > 0x7f800000 ? Bits{} + 0x7e00 : Bits{} + 0x7c00;
  Bits half = magnitude < 0x38800000 ? small : normal;
  half = magnitude >= 0x477ff000 ? special : half;
  return __builtin_convertvector(half | (bits & 0x80000000) >> 16, HalfBits);
#endif
}

template <typename T>
inline Vec<Compute<T>> load_channels(const T* from) {
  if constexpr (sizeof(T) == sizeof(Compute<T>)) {
    return load_exact(from);
  } else {
    HalfBits bits;
    memcpy(&bits, from, sizeof bits);
    return widened(bits, T{});
  }
}

template <typename T>
inline void store_channels(const Vec<Compute<T>>& v, T* to) {
  if constexpr (sizeof(T) == sizeof(Compute<T>)) {
    store_exact(v, to);
  } else {
    const HalfBits bits = narrowed(v, T{});
    memcpy(to, &bits, sizeof bits);
  }
}

// N registers of channels, [N * kLanes].
template <int N, typename T>
struct Block {
  using C = Compute<T>;
  Vec<C> part[N];

  void load(const T* from) {
    for (int n = 0; n < N; ++n) part[n] = load_channels(from + n * kLanes<C>);
  }
  void store(T* to) const {
    for (int n = 0; n < N; ++n) store_channels<T>(part[n], to + n * kLanes<C>);
  }
};

template <int N>
struct Block<N, bf16> {
  Vec<float> part[N];

  void load(const bf16* from) {
    if constexpr (N == 1) {
      part[0] = load_channels(from);
    } else {
      for (int n = 0; n < N; n += 2) {
        Bits bits;
        memcpy(&bits, from + n * kLanes<float>, sizeof bits);
        part[n] = Vec<float>(bits << 16);
        part[n + 1] = Vec<float>(bits & 0xffff0000);
      }
    }
  }
  void store(bf16* to) const {
    if constexpr (N == 1) {
      store_channels<bf16>(part[0], to);
    } else {
      for (int n = 0; n < N; n += 2) {
        const Bits bits = bf16_rounded(part[n]) >> 16 | (bf16_rounded(part[n + 1]) & 0xffff0000);
        memcpy(to + n * kLanes<float>, &bits, sizeof bits);
      }
    }
  }
};

// Single channels, for what is left of a row.
template <typename T>
inline Compute<T> load_channel(const T* from) {
  if constexpr (sizeof(T) == sizeof(Compute<T>)) {
    return *from;
  } else {
    return widened(HalfBits{from->bits}, T{})[0];
  }
}

template <typename T>
inline void store_channel(Compute<T> value, T* to) {
  if constexpr (sizeof(T) == sizeof(Compute<T>)) {
    *to = value;
  } else {
    to->bits = narrowed(Vec<float>{value}, T{})[0];
  }
}

// Cuts a row into blocks of 4, 2 and 1 registers and single channels: block(first, number) with a compile-time number
// of registers, then single(first).
template <int N>
struct Registers {
  static constexpr int value = N;
};

template <typename C, typename OnBlock, typename OnSingle>
inline void cut_row(int64_t head_dim, const OnBlock& block, const OnSingle& single) {
  int64_t d = 0;
  for (; d + 4 * kLanes<C> <= head_dim; d += 4 * kLanes<C>) block(d, Registers<4>{});
  if (d + 2 * kLanes<C> <= head_dim) block(d, Registers<2>{}), d += 2 * kLanes<C>;
  if (d + kLanes<C> <= head_dim) block(d, Registers<1>{}), d += kLanes<C>;
  for (; d < head_dim; ++d) single(d);
}

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
