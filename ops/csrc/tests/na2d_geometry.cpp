// Proves the closed forms of neighborhood_attention/geometry.h and window.h against enumeration: all sizes up to 40,
// odd windows up to 13 and dilations up to 5 that fit. Exits 1 on the first failure.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "../neighborhood_attention/geometry.h"
#include "../neighborhood_attention/window.h"

namespace {

using namespace smalti::na2d;

long checks = 0;

void require(bool holds, const char* what, int size, int window, int dilation, int residue, int rank) {
  ++checks;
  if (holds) return;
  printf("na2d_geometry: %s fails: size %d window %d dilation %d residue %d rank %d\n", what, size, window, dilation,
         residue, rank);
  exit(1);
}

// The window of a query is the run of `window` positions of its class that centres it best: enumerated, the first
// start with the least distance between the window's centre and the query.
int best_start(int query, int length, int window) {
  int best = 0;
  for (int start = 1; start + window <= length; ++start)
    if (abs(start + window / 2 - query) < abs(best + window / 2 - query)) best = start;
  return best;
}

void check_class(int size, int window, int dilation, int residue) {
  const auto check = [&](bool holds, const char* what, int rank) {
    require(holds, what, size, window, dilation, residue, rank);
  };
  std::vector<int> positions;
  for (int p = 0; p < size; ++p)
    if (p % dilation == residue) positions.push_back(p);
  const int length = class_length(size, residue, dilation);
  check(length == static_cast<int>(positions.size()), "class length", -1);

  std::vector<int> starts(length);
  for (int q = 0; q < length; ++q) {
    starts[q] = best_start(q, length, window);
    check(window_start(q, length, window) == starts[q], "window start", q);
    const smalti::AxisWindow on_map = smalti::axis_window(positions[q], size, window, dilation);
    check(on_map.first == positions[starts[q]], "first key on the map", q);
    check(on_map.bias == starts[q] - q + window - 1, "bias index", q);
    check(on_map.bias >= 0 && on_map.bias + window <= 2 * window - 1, "bias range", q);
  }
  const auto sees = [&](int q, int k) { return k >= starts[q] && k < starts[q] + window; };
  for (int k = 0; k < length; ++k) {
    const Range range = queries_of_key(k, length, window);
    for (int q = 0; q < length; ++q) check(sees(q, k) == (q >= range.first && q < range.end), "queries of a key", k);
    check(range.end - range.first <= 2 * window - 1, "most queries of a key", k);
  }

  std::vector<int> covered(length, 0);
  const int longest = class_length(size, 0, dilation);
  check(length == longest || length == longest - 1, "lengths of classes", -1);
  check(length == size / dilation + (residue < size % dilation), "class length from the remainder", -1);
  for (int tile = 0; tile < ceil_div(longest, kTile); ++tile) {
    const Range ranks{tile * kTile, smaller(tile * kTile + kTile, length)};
    if (ranks.first >= ranks.end) continue;
    for (int r = ranks.first; r < ranks.end; ++r) ++covered[r];
    // Every range inside a tile: warps take parts of it.
    for (int first = ranks.first; first < ranks.end; ++first) {
      for (int end = first + 1; end <= ranks.end; ++end) {
        const Range keys = keys_of_queries({first, end}, length, window);
        const Range queries = queries_of_keys({first, end}, length, window);
        for (int other = 0; other < length; ++other) {
          bool is_key = false, is_query = false;
          for (int r = first; r < end; ++r) is_key |= sees(r, other), is_query |= sees(other, r);
          check(is_key == (other >= keys.first && other < keys.end), "keys of a tile", first);
          check(is_query == (other >= queries.first && other < queries.end), "queries of a tile", first);
        }
        for (int r = first; r < end; ++r) {  // ranges that touch no border, of tokens that are all centred
          if (keys.first > 0 && keys.end < length) check(starts[r] == r - window / 2, "inner windows", r);
          if (queries.first <= 0 || queries.end >= length) continue;
          const Range seen = queries_of_key(r, length, window);
          check(seen.first == r - window / 2 && seen.end == r + window / 2 + 1, "inner inverse windows", r);
        }
        check(keys.end - keys.first <= most_keys_of_tile(longest, window), "most keys of a tile", first);
        check(queries.end - queries.first <= most_queries_of_tile(longest, window), "most queries", first);
      }
    }
  }
  for (int r = 0; r < length; ++r) check(covered[r] == 1, "tiles cover once", r);
}

}  // namespace

int main() {
  for (int size = 1; size <= 40; ++size)
    for (int window = 1; window <= 13; window += 2)
      for (int dilation = 1; dilation <= 5 && window * dilation <= size; ++dilation)
        for (int residue = 0; residue < dilation; ++residue) check_class(size, window, dilation, residue);
  for (int pitch = 1; pitch <= 28; ++pitch)
    for (int index = 0; index < 2048; ++index)
      require(row_in_box(index, pitch_reciprocal(pitch)) == index / pitch, "row in a box", pitch, 0, 0, 0, index);
  for (unsigned count = 1; count < 300; ++count) {
    const Divider divider(static_cast<int>(count));
    const auto check = [&](unsigned n) {
      require(divider.divide(n) == n / count, "quotient", static_cast<int>(count), 0, 0, 0, static_cast<int>(n));
    };
    for (unsigned n = 0; n < 3000; ++n) check(n), check((1u << 31) - 1 - n), check((1u << 31) / count * count - n - 1);
  }
  for (unsigned count : {65535u, 65536u, 65537u, (1u << 30) + 1, (1u << 31) - 1}) {
    const Divider divider(static_cast<int>(count));
    for (unsigned n : {0u, 1u, count - 1, count, (1u << 31) - 1})
      require(divider.divide(n) == n / count, "quotient", static_cast<int>(count), 0, 0, 0, static_cast<int>(n));
  }
  printf("na2d_geometry: %ld checks hold\n", checks);
  return 0;
}
