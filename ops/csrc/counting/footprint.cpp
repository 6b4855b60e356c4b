// Counts what tensors without data would take: libtorch asks its allocator for their bytes, gets none, and gives them back as it
// would give back memory. Counted on each thread for itself.
//
// Registered when the library is loaded, in place of libtorch's allocator of the meta device.
#include <c10/core/Allocator.h>

#include <algorithm>
#include <cstdint>

namespace smalti::footprint {

namespace {

thread_local int64_t live = 0, most = 0;

// A tensor's bytes are kept where others keep the block that their data lie in.
void release(void* bytes) { live -= static_cast<int64_t>(reinterpret_cast<intptr_t>(bytes)); }

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    live += static_cast<int64_t>(bytes);
    most = std::max(most, live);
    return {nullptr, reinterpret_cast<void*>(bytes), &release, c10::Device(c10::kMeta)};
  }

  void copy_data(void*, const void*, size_t) const override {}
};

Allocator allocator;

// Above libtorch's own, which is registered with priority 0.
const bool registered = [] {
  c10::SetAllocator(c10::kMeta, &allocator, 1);
  return true;
}();

}  // namespace

}  // namespace smalti::footprint

// Starts the peak of this thread anew and returns what is there already.
extern "C" int64_t smalti_footprint_begin() {
  using namespace smalti::footprint;
  most = live;
  return live;
}

extern "C" int64_t smalti_footprint_peak() { return smalti::footprint::most; }
