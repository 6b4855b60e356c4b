// Activation checkpointing: a segment of a network whose inner activations are not kept. Backward runs it again.
//
// The segment is a function of Rust's. It must read nothing that changes between the two runs but what is put back here: the
// state of the device's random generator (drop path draws the same again) and autocast.
#include <torch/torch.h>
#include <ATen/autocast_mode.h>
#include <torch/custom_class.h>

#include <utility>

#include "../border.h"
#include "../runtime/generator.h"

namespace {

using at::Tensor;
using smalti::generator_state;
using smalti::guarded;
using smalti::set_generator_state;

extern "C" {
// Runs the segment on `input`, which stays the caller's. Returns its output, or nullptr if the segment failed.
using SegmentRun = Tensor* (*)(void* segment, Tensor* input);
using SegmentDrop = void (*)(void* segment);
}

struct Segment : torch::CustomClassHolder {
  Segment(void* function, SegmentRun runner, SegmentDrop dropper) : function(function), runner(runner), dropper(dropper) {}
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment() override { dropper(function); }

  Tensor run(Tensor input) const {
    Tensor* output = runner(function, &input);
    TORCH_CHECK(output != nullptr, "the segment failed");
    Tensor result = std::move(*output);
    delete output;
    return result;
  }

  void* function;
  SegmentRun runner;
  SegmentDrop dropper;
};

// Random draws as they were at the first run; afterwards those of the outside go on as if nothing had been drawn.
class DrawAgain {
 public:
  DrawAgain(at::Device device, const Tensor& state) : device_(device), outside_(generator_state(device)) {
    set_generator_state(device, state);
  }
  ~DrawAgain() { set_generator_state(device_, outside_); }
  DrawAgain(const DrawAgain&) = delete;
  DrawAgain& operator=(const DrawAgain&) = delete;

 private:
  at::Device device_;
  Tensor outside_;
};

// Autocast as given, without its cache: casts of weights made without a graph must not be found by ops that need one.
class Casts {
 public:
  Casts(at::DeviceType device, bool enabled, at::ScalarType type)
      : device_(device),
        enabled_(at::autocast::is_autocast_enabled(device)),
        cached_(at::autocast::is_autocast_cache_enabled()),
        type_(at::autocast::get_autocast_dtype(device)) {
    set(enabled, type, false);
  }
  ~Casts() { set(enabled_, type_, cached_); }
  Casts(const Casts&) = delete;
  Casts& operator=(const Casts&) = delete;

 private:
  void set(bool enabled, at::ScalarType type, bool cached) {
    at::autocast::set_autocast_enabled(device_, enabled);
    at::autocast::set_autocast_dtype(device_, type);
    at::autocast::set_autocast_cache_enabled(cached);
  }

  at::DeviceType device_;
  bool enabled_, cached_;
  at::ScalarType type_;
};

struct Recompute : torch::autograd::Function<Recompute> {
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& input,
                        const c10::intrusive_ptr<Segment>& segment) {
    const auto device = input.device();
    const bool enabled = at::autocast::is_autocast_enabled(device.type());
    const auto type = at::autocast::get_autocast_dtype(device.type());
    ctx->saved_data["segment"] = c10::IValue::make_capsule(segment);
    ctx->saved_data["generator"] = generator_state(device);
    ctx->saved_data["autocast"] = enabled;
    ctx->saved_data["autocast_type"] = static_cast<int64_t>(type);
    ctx->save_for_backward({input});
    Casts casts(device.type(), enabled, type);
    return segment->run(input.detach());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grads) {
    if (!grads[0].defined()) return {Tensor(), Tensor()};
    const Tensor input = ctx->get_saved_variables()[0].detach().requires_grad_(true);
    const auto segment = c10::static_intrusive_pointer_cast<Segment>(ctx->saved_data["segment"].toCapsule());
    const auto device = input.device();
    Tensor output;
    {
      at::AutoGradMode with_graph(true);
      DrawAgain draws(device, ctx->saved_data["generator"].toTensor());
      Casts casts(device.type(), ctx->saved_data["autocast"].toBool(),
                  static_cast<at::ScalarType>(ctx->saved_data["autocast_type"].toInt()));
      output = segment->run(input);
    }
    // Gradients of the segment's own parameters add up in them here, that of the input goes on.
    if (output.requires_grad()) torch::autograd::backward({output}, {grads[0]});
    return {input.grad(), Tensor()};
  }
};

}  // namespace

extern "C" {

// The output of a segment for `input`. Takes `function` over in every case and drops it after its last run.
char* smalti_recompute(Tensor** out, const Tensor* input, void* function, SegmentRun run, SegmentDrop drop) {
  return guarded([&] {
    const auto segment = c10::make_intrusive<Segment>(function, run, drop);
    // The function is recorded only if its input takes part in the graph, but the segment's parameters may where it does not.
    const Tensor joined = input->requires_grad() ? *input : input->detach().requires_grad_(true);
    *out = new Tensor(Recompute::apply(joined, segment));
  });
}

}  // extern "C"
