// Counts the multiply-adds of the ops that run on this thread, from the shapes of the tensors that come by.
//
// An observer sees every call that goes through libtorch's dispatcher, composite ops and what they are made of alike. Counted
// is the outermost op that has a formula; calls inside it are its own work and are passed over, and so is everything inside
// a node of a backward pass.
// libtorch is a release build: its observers get inputs without the mark that other builds look for.
#ifndef NDEBUG
#define NDEBUG
#endif

#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>

#include "../border.h"

namespace smalti::flops {

namespace {

using Inputs = c10::ArrayRef<const c10::IValue>;

int64_t product(at::IntArrayRef sizes) {
  int64_t result = 1;
  for (const auto size : sizes) result *= size;
  return result;
}

// [..., N, K] x [..., K, M], from the input at `first` on
template <size_t first>
int64_t matrix_product(Inputs in) {
  return in[first].toTensor().numel() * in[first + 1].toTensor().size(-1);
}

// [..., N, K] x [K], from the input at `first` on
template <size_t first>
int64_t vector_product(Inputs in) {
  return in[first].toTensor().numel();
}

// input [..., K], weight [M, K] or [K]
int64_t linear(Inputs in) {
  const auto& weight = in[1].toTensor();
  return in[0].toTensor().numel() * (weight.dim() == 1 ? 1 : weight.size(0));
}

using Sizes = std::vector<int64_t>;

// Every number of the kernel meets every place of the output, or, transposed, of the input.
int64_t of_kernel(const at::Tensor& input, const at::Tensor& weight, const Sizes& stride, const Sizes& padding,
                  const Sizes& dilation, bool transposed) {
  const auto of_axis = [](const Sizes& list, size_t axis) { return list[list.size() == 1 ? 0 : axis]; };
  int64_t places = input.size(0);
  for (int64_t axis = 0; axis < input.dim() - 2; ++axis) {
    const auto size = input.size(axis + 2), reach = of_axis(dilation, axis) * (weight.size(axis + 2) - 1);
    places *= transposed ? size : (size + 2 * of_axis(padding, axis) - reach - 1) / of_axis(stride, axis) + 1;
  }
  return places * weight.numel();
}

// input [B, C, ...], weight [C', C / groups, ...], or of a transposed one [C, C' / groups, ...], bias, stride, padding, dilation
int64_t convolution(Inputs in) {
  return of_kernel(in[0].toTensor(), in[1].toTensor(), in[3].toIntVector(), in[4].toIntVector(), in[5].toIntVector(),
                   in[6].toBool());
}

// oneDNN's with what follows it: input, in one of two forms what is added to the output, weight, bias, padding, stride, dilation
int64_t fused_convolution(Inputs in) {
  const size_t weight = in[3].isIntList() ? 1 : 2;
  return of_kernel(in[0].toTensor(), in[weight].toTensor(), in[weight + 3].toIntVector(), in[weight + 2].toIntVector(),
                   in[weight + 4].toIntVector(), false);
}

// query [..., N, D], key [..., S, D], value [..., S, D']: scores, and their sums of values
int64_t attention(Inputs in) {
  const auto &query = in[0].toTensor(), &key = in[1].toTensor(), &value = in[2].toTensor();
  return query.numel() / query.size(-1) * key.size(-2) * (query.size(-1) + value.size(-1));
}

// q, k, v [B, H, W, M, D], bias, window: every query and every key of its window, twice
int64_t neighborhood_attention(Inputs in) { return 2 * in[0].toTensor().numel() * product(in[4].toIntVector()); }

// value [B, S, M, D], reference, offsets [B, Q, M, L, P, 2]: four corners a sample
int64_t deformable_attention(Inputs in) {
  return in[2].toTensor().numel() / 2 * 4 * in[0].toTensor().size(-1);
}

using Formula = int64_t (*)(Inputs);

const std::unordered_map<std::string_view, Formula>& formulas() {
  static const std::unordered_map<std::string_view, Formula> table = {
      {"aten::linear", linear},
      {"aten::mm", matrix_product<0>},
      {"aten::bmm", matrix_product<0>},
      {"aten::addmm", matrix_product<1>},
      {"aten::baddbmm", matrix_product<1>},
      {"aten::addbmm", matrix_product<1>},
      {"aten::mv", vector_product<0>},
      {"aten::dot", vector_product<0>},
      {"aten::vdot", vector_product<0>},
      {"aten::addmv", vector_product<1>},
      {"aten::convolution", convolution},
      {"aten::_convolution", convolution},
      {"mkldnn::_convolution_pointwise", fused_convolution},
      {"aten::scaled_dot_product_attention", attention},
      {"smalti::neighborhood_attention_2d", neighborhood_attention},
      {"smalti::neighborhood_attention_2d_forward", neighborhood_attention},
      {"smalti::ms_deform_attn", deformable_attention},
  };
  return table;
}

struct Row {
  int64_t calls = 0, multiply_adds = 0;
};

struct Count {
  std::map<std::string, Row> rows;  // by name of the op
  std::string failure;              // of the first formula that did not understand its op
  bool inside = false;              // an op that is counted already, or a backward pass
  at::CallbackHandle observer = at::INVALID_CALLBACK_HANDLE;
};

thread_local std::unique_ptr<Count> count;

struct Entered : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& call) {
  if (count == nullptr || count->inside) return nullptr;
  if (call.scope() != at::RecordScope::BACKWARD_FUNCTION) {
    const std::string_view name = call.name();
    const auto formula = formulas().find(name);
    if (formula == formulas().end()) return nullptr;
    // The dispatcher logs what an observer throws and goes on: a failure has to wait for its caller.
    try {
      const auto multiply_adds = formula->second(call.inputs());
      auto& row = count->rows[std::string(name.substr(name.find("::") + 2))];
      ++row.calls;
      row.multiply_adds += multiply_adds;
    } catch (const std::exception& error) {
      if (count->failure.empty()) count->failure = c10::str(name, ": ", error.what());
    }
  }
  count->inside = true;
  return std::make_unique<Entered>();
}

void leave(const at::RecordFunction&, at::ObserverContext* entered) {
  if (count != nullptr && entered != nullptr) count->inside = false;
}

}  // namespace

}  // namespace smalti::flops

extern "C" {

char* smalti_flops_begin() {
  using namespace smalti::flops;
  return smalti::guarded([&] {
    if (count != nullptr) throw smalti::Refusal("count", "body", "one count at a time on a thread", "a second one inside");
    auto begun = std::make_unique<Count>();
    begun->observer = at::addThreadLocalCallback(
        at::RecordFunctionCallback(enter, leave)
            .needsInputs(true)
            .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
    count = std::move(begun);
  });
}

// `table`: a line `name calls multiply-adds` for each op that ran.
char* smalti_flops_end(char** table) {
  using namespace smalti::flops;
  return smalti::guarded([&] {
    const auto ended = std::move(count);
    if (ended == nullptr) throw smalti::Refusal("count", "end", "a count that was begun", "none");
    at::removeCallback(ended->observer);
    if (!ended->failure.empty()) throw std::runtime_error(ended->failure);
    std::string text;
    for (const auto& [name, row] : ended->rows) text += c10::str(name, " ", row.calls, " ", row.multiply_adds, "\n");
    *table = strdup(text.c_str());
  });
}

}  // extern "C"
