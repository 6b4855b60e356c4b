// Fibers: stacks that one host thread switches between. The sanitizers are told of every switch.
#pragma once

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifdef __x86_64__
// Saves the callee-saved registers on the stack, its pointer in *from, and continues on the stack `to`: swapcontext
// without its system call.
extern "C" void smalti_simt_switch(void** from, void* to);
#endif

namespace smalti::simt {

// The stack of a fiber, above a page that faults.
class Stack {
 public:
  static constexpr size_t kBytes = 256 * 1024;

  Stack() {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* block = mmap(nullptr, kBytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED || mprotect(block, page, PROT_NONE) != 0) {
      perror("simt: stack");
      abort();
    }
    block_ = block, bottom_ = static_cast<char*>(block) + page, mapped_ = kBytes + page;
  }
  ~Stack() { munmap(block_, mapped_); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  char* bottom() const { return bottom_; }
  char* top() const { return bottom_ + kBytes; }
  // Clears the red zones of frames that were left without a return: the outermost ones where a fiber has ended, all of
  // them where it was given up.
  void forget([[maybe_unused]] bool given_up) const {
#ifdef __SANITIZE_ADDRESS__
    const size_t bytes = given_up ? kBytes : 16 * 1024;
    __asan_unpoison_memory_region(top() - bytes, bytes);
#endif
  }

 private:
  void* block_;
  char* bottom_;
  size_t mapped_;
};

// A place to continue at: a fiber's, or that of the thread that runs them (constructed without a stack).
class Context {
 public:
  Context() = default;

  // Makes the next switch here call entry(), which never returns.
  void start(const Stack& stack, void (*entry)()) {
    stack_ = &stack;
#ifdef __x86_64__
    // As if `entry` had been called (its stack pointer is 8 below a multiple of 16) and had then switched away.
    void** frame = reinterpret_cast<void**>(stack.top()) - 2;
    frame[0] = reinterpret_cast<void*>(entry);
    frame[1] = nullptr;
    for (int i = 0; i < 6; ++i) *--frame = nullptr;
    pointer_ = frame;
#else
    getcontext(&state_);
    state_.uc_stack.ss_sp = stack.bottom();
    state_.uc_stack.ss_size = Stack::kBytes;
    state_.uc_link = nullptr;
    makecontext(&state_, entry, 0);
#endif
  }

  // First thing in an entry function.
  static void entered() {
#ifdef __SANITIZE_ADDRESS__
    const void* bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
    learn_main(bottom, bytes);
#endif
  }

  // Continues at `to`. `last` says that nothing ever returns here.
  void switch_to(Context& to, bool last = false) {
#ifdef __SANITIZE_ADDRESS__
    const void* bottom = to.stack_ ? to.stack_->bottom() : main_bottom;
    const size_t bytes = to.stack_ ? Stack::kBytes : main_bytes;
    __sanitizer_start_switch_fiber(last ? nullptr : &fake_stack_, bottom, bytes);
#endif
#ifdef __x86_64__
    smalti_simt_switch(&pointer_, to.pointer_);
#else
    swapcontext(&state_, &to.state_);
#endif
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
    (void)last;
  }

 private:
#ifdef __SANITIZE_ADDRESS__
  // The first fiber of a launch is entered from the main stack, whose bounds only the sanitizer knows.
  static void learn_main(const void* bottom, size_t bytes) {
    if (main_bottom == nullptr) main_bottom = bottom, main_bytes = bytes;
  }
  static inline const void* main_bottom = nullptr;
  static inline size_t main_bytes = 0;
  void* fake_stack_ = nullptr;
#endif
#ifdef __x86_64__
  void* pointer_ = nullptr;
#else
  ucontext_t state_;
#endif
  const Stack* stack_ = nullptr;
};

}  // namespace smalti::simt
