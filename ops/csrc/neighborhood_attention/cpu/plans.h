// The plans of one call, and the classes that its units are made of.
#pragma once

#include "rows.h"

namespace smalti {
namespace SMALTI_ISA {
namespace {

// The class that a unit of work is of, or is a slab of.
struct ClassOf {
  int64_t image, head, residue_y, residue_x;

  template <typename T>
  ClassMap<T> map(T* tensor, const Strides& strides, const Na2dShape& s) const {
    return {tensor + image * strides.b + head * strides.m + residue_y * strides.y + residue_x * strides.x,
            strides.y * s.dilation_y, strides.x * s.dilation_x};
  }
};

// Strides of a contiguous [B, H, W, M, channels] tensor.
inline Strides contiguous(const Na2dShape& s, int64_t channels) {
  const int64_t token = s.heads * channels;
  return {s.height * s.width * token, s.width * token, token, channels};
}

// Classes differ in height and width by at most one position each: four plans at most.
template <typename C>
struct Plans {
  Plan<C> plan[2][2];
  int64_t pairs = 0, ring_rows = 0;  // the most that a class needs
  bool windowed = false;             // some class has a windowed plan

  explicit Plans(const Na2dShape& s) {
    for (int64_t y = 0; y < 2; ++y) {
      for (int64_t x = 0; x < 2; ++x) {
        // Residues below the remainder have one position more.
        plan[y][x].choose(s.height / s.dilation_y + y, s.width / s.dilation_x + x, s.window_y, s.window_x);
        if (!used(s, y, x)) continue;
        pairs = at_least(pairs, plan[y][x].pairs());
        ring_rows = at_least(ring_rows, plan[y][x].ring_rows());
        windowed = windowed || !plan[y][x].whole_rows;
      }
    }
  }
  // Elements of one row of keys or values.
  int64_t row_size(const RowLayout& layout, int64_t width) const {
    return layout.channels * (windowed ? layout.pitch : width);
  }
  void carve(Carver& from, const Na2dShape& s, bool gradients) {
    for (int64_t y = 0; y < 2; ++y)
      for (int64_t x = 0; x < 2; ++x)
        if (used(s, y, x)) plan[y][x].carve(from, gradients);
  }
  void build(const Na2dShape& s) {
    for (int64_t y = 0; y < 2; ++y)
      for (int64_t x = 0; x < 2; ++x)
        if (used(s, y, x)) plan[y][x].build();
  }
  // The plan of a class, with the bias of its head.
  Plan<C>& of(const Na2dShape& s, const ClassOf& unit, const C* bias) {
    Plan<C>& found = plan[unit.residue_y < s.height % s.dilation_y][unit.residue_x < s.width % s.dilation_x];
    if (found.head != unit.head) {
      const int64_t table = (2 * s.window_y - 1) * (2 * s.window_x - 1);
      found.set_bias(bias == nullptr ? nullptr : bias + unit.head * table);
      found.head = unit.head;
    }
    return found;
  }

 private:
  static bool used(const Na2dShape& s, int64_t y, int64_t x) {
    return (y == 0 || s.height % s.dilation_y != 0) && (x == 0 || s.width % s.dilation_x != 0);
  }
};

// All memory of a call: the plans and the buffers of the pass.
template <typename C, typename Buffers>
struct Workspace {
  Plans<C> plans;
  RowLayout layout;
  Buffers buffers;
  Scratch memory;

  Workspace(const Na2dShape& s, bool bias_gradient)
      : plans(s),
        layout(RowLayout::make<C>(widest(s), s.head_dim)),
        memory(carve(nullptr, s, bias_gradient)) {
    carve(memory.base(), s, bias_gradient);
    plans.build(s);
  }

 private:
  static int64_t widest(const Na2dShape& s) { return (s.width + s.dilation_x - 1) / s.dilation_x; }
  int64_t carve(char* base, const Na2dShape& s, bool bias_gradient) {
    Carver from(base);
    plans.carve(from, s, bias_gradient);
    buffers.carve(from, plans, layout, widest(s));
    return from.used();
  }
};

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
