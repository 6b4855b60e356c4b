// Geometry of 2D neighborhood attention in the coordinates of one residue class, along one axis. A class holds the
// positions with equal index modulo the dilation; inside it, a position is its rank. Windows: see window.h, which
// speaks of map positions. Ranges are half-open.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define SMALTI_GEOMETRY __host__ __device__ __forceinline__
#else
#define SMALTI_GEOMETRY inline
#endif

namespace smalti::na2d {

constexpr int kTile = 8;  // ranks along each axis of the tiles that thread blocks own

struct Range {
  int first, end;
};

SMALTI_GEOMETRY int smaller(int a, int b) { return a < b ? a : b; }
SMALTI_GEOMETRY int larger(int a, int b) { return a > b ? a : b; }
SMALTI_GEOMETRY int ceil_div(int a, int b) { return (a + b - 1) / b; }
SMALTI_GEOMETRY int round_up(int a, int to) { return ceil_div(a, to) * to; }

SMALTI_GEOMETRY int class_length(int size, int residue, int dilation) { return ceil_div(size - residue, dilation); }

SMALTI_GEOMETRY int window_start(int query, int length, int window) {
  return larger(0, smaller(query - window / 2, length - window));
}

// The queries whose window holds `key`. Starts never decrease, so they are one range; it grows at borders, where
// windows shift, up to 2 * window - 1.
SMALTI_GEOMETRY Range queries_of_key(int key, int length, int window) {
  return {key < window ? 0 : key - window / 2, key >= length - window ? length : key + window / 2 + 1};
}

// Unions over a range of ranks, which is not empty.
SMALTI_GEOMETRY Range keys_of_queries(Range queries, int length, int window) {
  return {window_start(queries.first, length, window), window_start(queries.end - 1, length, window) + window};
}
SMALTI_GEOMETRY Range queries_of_keys(Range keys, int length, int window) {
  return {queries_of_key(keys.first, length, window).first, queries_of_key(keys.end - 1, length, window).end};
}

// Upper bounds of those unions over all tiles, the first of which starts at rank 0, of classes up to `longest`.
SMALTI_GEOMETRY int most_keys_of_tile(int longest, int window) { return smaller(longest, kTile + window - 1); }
SMALTI_GEOMETRY int most_queries_of_tile(int longest, int window) {
  const int at_one_border = kTile + window - 1 + window / 2;
  const int at_both = (window - 1) / kTile * kTile + kTile - 1 + window;
  return smaller(longest, larger(at_one_border, at_both));
}

// Boxes of tokens in shared memory are rows of an even pitch, so that a pair of neighbours never crosses rows.
// Quotients by it come from a multiplication, exact for index < 2048 and pitch <= 28.
SMALTI_GEOMETRY int box_pitch(int columns) { return round_up(columns, 2); }
SMALTI_GEOMETRY unsigned pitch_reciprocal(int pitch) { return 65536u / static_cast<unsigned>(pitch) + 1; }
SMALTI_GEOMETRY int row_in_box(int index, unsigned reciprocal) {
  return static_cast<int>(static_cast<unsigned>(index) * reciprocal >> 16);
}

// Quotients by a number that the host knows, of n < 2^31, by multiplication.
struct Divider {
  unsigned count, multiplier, shift;

  explicit Divider(int n) : count(static_cast<unsigned>(n)), shift(0) {
    while ((1u << shift) < count) ++shift;
    multiplier = static_cast<unsigned>(((uint64_t{1} << 32) * ((1u << shift) - count)) / count + 1);
  }
  SMALTI_GEOMETRY unsigned divide(unsigned n) const {
    return (static_cast<unsigned>(static_cast<uint64_t>(n) * multiplier >> 32) + n) >> shift;
  }
  // Takes the lowest digit off a number of mixed radix.
  SMALTI_GEOMETRY int take_digit(unsigned& n) const {
    const unsigned quotient = divide(n), digit = n - quotient * count;
    n = quotient;
    return static_cast<int>(digit);
  }
};

}  // namespace smalti::na2d

#undef SMALTI_GEOMETRY
