// Half types in software: to nearest, ties to even, NaNs stay NaNs.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../../element.h"

namespace smalti::simt {

inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}
inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

inline float widen(bf16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }

inline float widen(f16 x) {
  const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  float size;
  if (exponent == 31)
    size = fraction ? NAN : INFINITY;
  else if (exponent == 0)
    size = std::ldexp(static_cast<float>(fraction), -24);
  else
    size = std::ldexp(static_cast<float>(fraction | 1024), exponent - 25);
  return x.bits >> 15 ? -size : size;
}

template <typename T>
T narrow(float x);

template <>
inline float narrow<float>(float x) {
  return x;
}

template <>
inline bf16 narrow<bf16>(float x) {
  if (std::isnan(x)) return {0x7fff};
  const uint32_t bits = bits_of(x);
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

template <>
inline f16 narrow<f16>(float x) {
  const uint16_t sign = static_cast<uint16_t>(std::signbit(x) ? 0x8000 : 0);
  const float size = std::fabs(x);
  if (std::isnan(x)) return {0x7fff};
  if (size >= 65520.0f) return {static_cast<uint16_t>(sign | 0x7c00)};
  // Denormals count in units of 2^-24; a fraction that rounds up carries into the exponent, as it should.
  if (size < 0x1p-14f) return {static_cast<uint16_t>(sign | static_cast<int>(std::nearbyint(size * 0x1p24f)))};
  const uint32_t bits = bits_of(size) - (112u << 23);
  return {static_cast<uint16_t>(sign | (bits + 0xfff + (bits >> 13 & 1)) >> 13)};
}

}  // namespace smalti::simt
