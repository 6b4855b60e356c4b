// Window geometry of neighborhood attention along one axis: plain integers, shared by every kernel.
//
// Positions with equal index modulo the dilation form a group (groups differ in length when the axis is ragged). Inside
// its group a query of rank r sees the `window` ranks from clamp(r - window/2, 0, length - window): windows shift at
// borders and never shrink.
#pragma once

#include <cstdint>

namespace smalti {

struct AxisWindow {
  int64_t first;  // map index of the first key; key j sits at first + j * dilation
  int64_t bias;   // index of the first key in the relative position bias table; key j at bias + j
};

inline AxisWindow axis_window(int64_t position, int64_t size, int64_t window, int64_t dilation) {
  const int64_t group = position % dilation;
  const int64_t rank = position / dilation;
  const int64_t length = (size - group + dilation - 1) / dilation;
  int64_t start = rank - window / 2;
  if (start > length - window) start = length - window;
  if (start < 0) start = 0;
  return {start * dilation + group, start - rank + window - 1};
}

}  // namespace smalti
