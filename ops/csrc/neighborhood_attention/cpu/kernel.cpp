// CPU kernels of 2D neighborhood attention. Compiled once per instruction set with SMALTI_ISA naming the namespace; all
// helpers have internal linkage, so that the linker can not hand AVX-512 code to a machine without it.
//
// keys.h      how lanes (queries) read the keys of a row
// products.h  the inner loops
// plan.h      which queries of a residue class share a vector
// rows.h      tensors to and from the layouts of the inner loops
// plans.h     the plans and the memory of a call
// groups.h    products of queries with all rows that they see
#include "kernel.h"

#include "backward.h"
#include "forward.h"

namespace smalti {
namespace SMALTI_ISA {

extern const Na2dKernels<float> na2d_f32 = {forward<float>, backward<float>};
extern const Na2dKernels<double> na2d_f64 = {forward<double>, backward<double>};
extern const Na2dKernels<bf16> na2d_bf16 = {forward<bf16>, backward<bf16>};
extern const Na2dKernels<f16> na2d_f16 = {forward<f16>, backward<f16>};

}  // namespace SMALTI_ISA
}  // namespace smalti
