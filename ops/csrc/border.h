// The border between C++ and Rust: no C++ exception crosses it. Every exported function returns nullptr on success or a
// message that the Rust side copies and hands back to smalti_free_message.
#pragma once

#include <cstdlib>
#include <cstring>
#include <exception>

namespace smalti {

template <typename Body>
char* guarded(Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

}  // namespace smalti
