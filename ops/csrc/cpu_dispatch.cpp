#include "cpu_dispatch.h"

namespace smalti {
int forced_isa = 0;
}  // namespace smalti

extern "C" void smalti_force_isa(int isa) { smalti::forced_isa = isa; }
