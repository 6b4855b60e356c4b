// Forward units of work, for the file that counts them and for the kernels that run them.
#pragma once

#include <stdint.h>

namespace smalti {
namespace {

// Query rows of a residue class in one unit. Even, as rows go in pairs; a unit fills its own key rows, so a slab must
// be tall against the window.
constexpr int64_t kSlabRows = 16;

// Slabs of the tallest class; a unit past the end of a shorter class is empty.
inline int64_t slabs_per_class(int64_t height, int64_t dilation_y) {
  const int64_t rows = (height + dilation_y - 1) / dilation_y;
  return (rows + kSlabRows - 1) / kSlabRows;
}

}  // namespace
}  // namespace smalti
