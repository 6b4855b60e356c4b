// The deterministic gradient of the value.
#pragma once

#include "shape.h"
#include "taps.h"

namespace smalti::deform {

template <typename T>
struct GatherArgs {
  Shape shape;
  const Compute<T>*reference, *offsets, *logits;
  const Softmax<Compute<T>>* softmax;  // [B, Q, M]
  const T* grad_out;                   // [B, Q, M, D]
  T* grad_value;                       // [B, S, M, D]
};

template <typename T>
int gather_value_gradient(const GatherArgs<T>& args, int64_t batch, void* stream);

}  // namespace smalti::deform
