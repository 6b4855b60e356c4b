// Memory of one call on one thread: a layout function takes pieces from it, first to measure, then for real.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

namespace smalti {
namespace SMALTI_ISA {
namespace {

class Carver {
 public:
  explicit Carver(char* base) : base_(base) {}
  template <typename T>
  T* take(int64_t count) {
    char* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (count * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<T*>(piece);
  }
  int64_t used() const { return used_; }
  static constexpr int64_t kAlignment = 64;

 private:
  char* base_;
  int64_t used_ = 0;
};

// Zeroed, so that padding never holds anything but finite numbers.
class Scratch {
 public:
  explicit Scratch(int64_t bytes) : memory_(aligned_alloc(Carver::kAlignment, bytes)) {
    if (memory_ == nullptr) abort();
    memset(memory_, 0, bytes);
  }
  ~Scratch() { free(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  char* base() const { return static_cast<char*>(memory_); }

 private:
  void* memory_;
};

}  // namespace
}  // namespace SMALTI_ISA
}  // namespace smalti
