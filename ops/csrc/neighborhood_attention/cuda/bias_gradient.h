// The bias gradient from the parts that the query kernels wrote.
#pragma once

#include "../cpu/kernel.h"

namespace smalti::na2d {

// grad_bias [M, table] = sums of parts [B, M, units, table] over images and units, in a fixed order.
template <typename C>
int sum_bias_parts(const C* parts, C* grad_bias, int64_t batch, int64_t heads, int64_t units, int64_t table,
                   void* stream);

}  // namespace smalti::na2d
