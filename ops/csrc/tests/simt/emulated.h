// The primitives of cuda/device.h on the SIMT machine.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "../../element.h"
#include "halves.h"
#include "simt.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

#define SMALTI_UNROLL
#define SMALTI_UNROLL_BY(n)
#define SMALTI_SHARED(type, name, count)       \
  static const char smalti_key_of_##name = 0; \
  type(&name)[count] = smalti::simt::static_shared<type[count]>(&smalti_key_of_##name)
#define SMALTI_DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(smalti::simt::dynamic_shared())

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline float __uint_as_float(unsigned bits) { return smalti::simt::float_of(bits); }
inline unsigned __float_as_uint(float x) { return smalti::simt::bits_of(x); }

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  smalti::simt::block_barrier(file, line);
}
inline void __syncwarp() { smalti::simt::meet("__syncwarp", false); }

namespace smalti::device {

constexpr int kWarp = 32;

inline int lane() { return static_cast<int>(simt::lane()); }

template <typename V>
V load(const void* p) {
  simt::require_aligned(p, sizeof(V), "load");
  V value;
  memcpy(&value, p, sizeof(V));
  return value;
}
template <typename V>
V load_const(const void* p) {
  return load<V>(p);
}
inline uint4 load_shared_again(const void* p) { return load<uint4>(p); }
inline uint4 load_const_or_zero(const void* p, bool valid) {
  return valid ? load<uint4>(p) : make_uint4(0, 0, 0, 0);
}
template <typename V>
void store(void* p, V value) {
  simt::require_aligned(p, sizeof(V), "store");
  memcpy(p, &value, sizeof(V));
}

template <typename V>
V shuffle(V value, int from, int width = kWarp) {
  static_assert(sizeof(V) == 4 || sizeof(V) == 8, "shuffles move 32 or 64 bits");
  const int base = lane() / width * width;
  return simt::meet("shuffle", value).template of<V>(static_cast<unsigned>(base + (from & (width - 1))));
}
// A lane outside the segment gives the caller's own value, as on the device: for xor, only later segments are outside.
template <typename V>
V shuffle_xor(V value, int mask, int width = kWarp) {
  static_assert(sizeof(V) == 4 || sizeof(V) == 8, "shuffles move 32 or 64 bits");
  const simt::Posted& posted = simt::meet("shuffle_xor", value);
  const int from = lane() ^ mask, end = lane() / width * width + width;
  return from < end ? posted.template of<V>(static_cast<unsigned>(from)) : value;
}
template <typename V>
V shuffle_down(V value, int delta, int width = kWarp) {
  static_assert(sizeof(V) == 4 || sizeof(V) == 8, "shuffles move 32 or 64 bits");
  const simt::Posted& posted = simt::meet("shuffle_down", value);
  const int from = lane() + delta, end = lane() / width * width + width;
  return from < end ? posted.template of<V>(static_cast<unsigned>(from)) : value;
}
inline unsigned vote(bool predicate) {
  const simt::Posted& posted = simt::meet("vote", predicate);
  unsigned bits = 0;
  for (unsigned i = 0; i < 32; ++i) bits |= static_cast<unsigned>(posted.of<bool>(i)) << i;
  return bits;
}
inline int count_bits(unsigned bits) { return __builtin_popcount(bits); }

template <int Bytes>
void copy_async(void* shared, const void* global, bool valid) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async copies 4, 8 or 16 bytes");
  simt::copy_async(shared, global, Bytes, valid);
}
template <int Bytes>
void copy_async(void* shared, const void* global) {
  copy_async<Bytes>(shared, global, true);
}
inline void commit_copies() { simt::commit_copies(); }
template <int Newest>
void wait_copies() {
  simt::wait_copies(Newest);
}

// Of lanes 8 m to 8 m + 7 come the rows of matrix m. Lane l receives elements 2 (l % 4) and the next one of row l / 4;
// transposed, of column l / 4.
template <int Matrices, bool Transposed>
void load_matrices(uint32_t* r, const void* row) {
  if (lane() < Matrices * 8) simt::require_aligned(row, 16, "ldmatrix");
  const simt::Posted& posted = simt::meet(Transposed ? "ldmatrix.trans" : "ldmatrix", row);
  const int major = lane() / 4, minor = lane() % 4 * 2;
  for (int m = 0; m < Matrices; ++m) {
    uint16_t pair[2];
    for (int i = 0; i < 2; ++i) {
      const int from_row = Transposed ? minor + i : major, column = Transposed ? major : minor + i;
      const char* from = posted.of<const char*>(static_cast<unsigned>(m * 8 + from_row));
      memcpy(&pair[i], from + 2 * column, 2);
    }
    r[m] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
}
inline void load_matrix_x4(uint32_t (&r)[4], const void* row) { load_matrices<4, false>(r, row); }
inline void load_matrix_x2(uint32_t (&r)[2], const void* row) { load_matrices<2, false>(r, row); }
inline void load_matrix_x4_transposed(uint32_t (&r)[4], const void* row) { load_matrices<4, true>(r, row); }
inline void load_matrix_x2_transposed(uint32_t (&r)[2], const void* row) { load_matrices<2, true>(r, row); }

inline float to_float(float x) { return x; }
inline float to_float(bf16 x) { return simt::widen(x); }
inline float to_float(f16 x) { return simt::widen(x); }
template <typename T>
T from_float(float x) {
  return simt::narrow<T>(x);
}
template <typename T>
uint32_t pack(float low, float high) {
  return from_float<T>(low).bits | static_cast<uint32_t>(from_float<T>(high).bits) << 16;
}
template <typename T>
float2 unpack(uint32_t bits) {
  return {to_float(T{static_cast<uint16_t>(bits)}), to_float(T{static_cast<uint16_t>(bits >> 16)})};
}

struct Operands {
  uint32_t a[4], b[2];
};

// Each lane computes its four accumulators from the fragments of the lanes that hold their rows and columns. `element`
// reads element `index` of a register; a register packs `Packed` of them. Products are exact and summed in double; the
// order of the device's sums is not documented.
template <int Packed, typename Element>
void multiply(const char* name, float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Element element) {
  Operands own;
  memcpy(own.a, a, sizeof(own.a));
  memcpy(own.b, b, sizeof(own.b));
  const simt::Posted& posted = simt::meet(name, own);
  const int group = lane() / 4, pair = lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int column = pair * 2 + i % 2;
    double sum = c[i];
    for (int t = 0; t < 4; ++t) {
      const Operands row = posted.of<Operands>(static_cast<unsigned>(group * 4 + t));
      const Operands col = posted.of<Operands>(static_cast<unsigned>(column * 4 + t));
      for (int half = 0; half < 2; ++half)
        for (int p = 0; p < Packed; ++p)
          sum += static_cast<double>(element(row.a[half * 2 + i / 2], p)) * element(col.b[half], p);
    }
    c[i] = static_cast<float>(sum);
  }
}
template <typename T>
void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  multiply<2>("mma", c, a, b, [](uint32_t bits, int i) { return to_float(T{static_cast<uint16_t>(bits >> 16 * i)}); });
}
// The device does not look at the 13 bits that tf32 lacks.
inline void mma_tf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  multiply<1>("mma_tf32", c, a, b, [](uint32_t bits, int) { return simt::float_of(bits & ~0x1fffu); });
}
inline uint32_t to_tf32(float x) {
  const uint32_t bits = simt::bits_of(x);
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  return finite ? (bits + 0x1000u) & ~0x1fffu : bits;
}

inline float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }
inline float exp2_fast(float x) { return flushed(exp2f(flushed(x))); }
inline float log2_fast(float x) { return log2f(flushed(x)); }

template <typename V>
V atomic_add(V* p, V value) {
  const V old = *p;
  *p = old + value;
  return old;
}
inline void atomic_add4(float* p, float4 value) {
  simt::require_aligned(p, 16, "atomic_add4");
  p[0] += value.x, p[1] += value.y, p[2] += value.z, p[3] += value.w;
}

template <typename... Parameters, typename... Arguments>
int launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, void*,
           const Arguments&... arguments) {
  return simt::run(grid, block, shared_bytes, [&] { kernel(arguments...); });
}

inline int fill_zero(void* p, size_t bytes, void*) {
  if (bytes > 0) memset(p, 0, bytes);
  return 0;
}

}  // namespace smalti::device
