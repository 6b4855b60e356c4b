// Copies from the host to a device beside its computing: page-locked memory, a stream for copies alone, events.
//
// Written against the streams and events that libtorch keeps for every kind of device, so that no header of CUDA is needed and
// this file is part of every build. What has to happen in which order is ops/src/copies.
#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <map>
#include <memory>
#include <mutex>

#include "../border.h"

using smalti::guarded;

namespace {

// The stream of all copies to a device, taken from libtorch's pool the first time. The allocator keeps freed memory by stream:
// with a new one for every evaluation, memory of the earlier ones would lie idle.
c10::Stream copy_stream(at::Device device) {
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, c10::Stream> streams;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto known = streams.find(device.index());
  if (known != streams.end()) return known->second;
  const c10::impl::VirtualGuardImpl guard(device.type());
  return streams.emplace(device.index(), guard.getStreamFromGlobalPool(device)).first->second;
}

}  // namespace

extern "C" {

// Page-locked bytes of the host, which a device can read while the host goes on.
char* smalti_copies_staging(at::Tensor** out, int64_t bytes) {
  return guarded([&] { *out = new at::Tensor(at::empty({bytes}, at::TensorOptions(at::kByte).pinned_memory(true))); });
}

// Starts the copy of the first `bytes` of `staging` to new memory of a GPU, which belongs to the stream of copies. `event` passes
// when it is done; until then `staging` must stay as it is.
char* smalti_copies_send(at::Tensor** out, void** event, const at::Tensor* staging, int64_t bytes, int64_t cuda_index) {
  return guarded([&] {
    const c10::NoGradGuard no_grad;
    const auto device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(cuda_index));
    const auto stream = copy_stream(device);
    const c10::StreamGuard beside(stream);
    auto copy = at::empty({bytes}, at::TensorOptions(at::kByte).device(device));
    copy.copy_(staging->narrow(0, 0, bytes), /*non_blocking=*/true);
    auto copied = std::make_unique<c10::Event>(device.type());
    copied->record(stream);
    *out = new at::Tensor(std::move(copy));
    *event = copied.release();
  });
}

// The host waits for an event.
char* smalti_copies_finish(const void* event) {
  return guarded([&] { static_cast<const c10::Event*>(event)->synchronize(); });
}

// Makes this thread's current stream of the device wait for `event` before what is queued from here on, and tells the allocator
// that the stream uses `copy`: freed memory is given out again only when the stream is past its use.
char* smalti_copies_receive(const at::Tensor* copy, const void* event) {
  return guarded([&] {
    const c10::impl::VirtualGuardImpl guard(copy->device().type());
    const auto compute = guard.getStream(copy->device());
    static_cast<const c10::Event*>(event)->block(compute);
    copy->record_stream(compute);
  });
}

void smalti_copies_forget(void* event) { delete static_cast<c10::Event*>(event); }

}  // extern "C"
