#include "units.h"

#include "kernel.h"

namespace smalti {

int64_t na2d_forward_units(const Na2dShape& s) {
  return s.batch * s.heads * s.dilation_y * s.dilation_x * slabs_per_class(s.height, s.dilation_y);
}

}  // namespace smalti
