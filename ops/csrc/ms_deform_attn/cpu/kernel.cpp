// CPU kernels of multi-scale deformable attention. Compiled once per instruction set with SMALTI_ISA naming the
// namespace; all helpers have internal linkage, so that the linker can not hand AVX-512 code to a machine without it.
#include "backward.h"
#include "forward.h"

namespace smalti {
namespace SMALTI_ISA {

extern const DeformKernels<float> deform_f32 = {forward<float>, backward<float>};
extern const DeformKernels<double> deform_f64 = {forward<double>, backward<double>};
extern const DeformKernels<bf16> deform_bf16 = {forward<bf16>, backward<bf16>};
extern const DeformKernels<f16> deform_f16 = {forward<f16>, backward<f16>};

}  // namespace SMALTI_ISA
}  // namespace smalti
