// The border between C++ and Rust: no C++ exception crosses it. Every exported function returns nullptr on success or a
// message that the Rust side copies and hands back to smalti_free_message. A refused argument is the separator kRefusal and then
// argument, expected and got with kField between them; anything else is plain text.
#pragma once

#include <cstdlib>
#include <cstring>
#include <exception>

#include "refusal.h"

namespace smalti {

constexpr char kRefusal = '\x1e', kField = '\x1f';

template <typename Body>
char* guarded(Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Refusal& refusal) {
    return strdup(c10::str(kRefusal, refusal.argument, kField, refusal.expected, kField, refusal.got).c_str());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

}  // namespace smalti
