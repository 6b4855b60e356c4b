// Memory of tensors on a CPU, aligned as libtorch's own is, by malloc instead of posix_memalign.
//
// glibc looks for aligned memory with room to spare for the alignment, which it gives back in crumbs before and behind. Once small
// allocations have settled in those, the gap that a tensor leaves is too small for the next one of its size, and the heap grows:
// a pass of ResNet-50 that holds 80 MB took 175 (docs/benchmarks.md). Here malloc is asked for the alignment too, so that equal
// tensors fit each other's gaps.
//
// Registered when the library is loaded, for all tensors of the program.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <cstdlib>

namespace smalti {

namespace {

constexpr size_t kAlignment = 64;

// The block that malloc gave lies before its data.
void*& block_of(void* data) { return static_cast<void**>(data)[-1]; }

void release(void* data) {
  if (data != nullptr) std::free(block_of(data));
}

void* aligned(size_t bytes) {
  if (bytes == 0) return nullptr;
  constexpr size_t extra = sizeof(void*) + kAlignment - 1;
  void* block = bytes > PTRDIFF_MAX - extra ? nullptr : std::malloc(bytes + extra);
  TORCH_CHECK_WITH(OutOfMemoryError, block != nullptr, "not enough memory: expected room for ", bytes, " bytes");
  const auto address = reinterpret_cast<uintptr_t>(block) + extra;
  void* data = reinterpret_cast<void*>(address - address % kAlignment);
  block_of(data) = block;
  return data;
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = aligned(bytes);
    return {data, data, &release, c10::Device(c10::kCPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

Allocator allocator;

// Above libtorch's own, which is registered with priority 0.
const bool registered = [] {
  c10::SetCPUAllocator(&allocator, 1);
  return true;
}();

}  // namespace

}  // namespace smalti
