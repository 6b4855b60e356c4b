// How an op says no: what is wrong, what it takes, what it got. Crosses the border to Rust as those three texts.
#pragma once

#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>

#include <string>
#include <utility>

namespace smalti {

struct Refusal : c10::ValueError {
  Refusal(const std::string& op, std::string what_is_wrong, std::string what_it_takes, std::string what_it_got)
      : c10::ValueError({__func__, __FILE__, static_cast<uint32_t>(__LINE__)},
                        c10::str(op, ": ", what_is_wrong, ": expected ", what_it_takes, ", got ", what_it_got)),
        argument(std::move(what_is_wrong)),
        expected(std::move(what_it_takes)),
        got(std::move(what_it_got)) {}

  std::string argument, expected, got;
};

}  // namespace smalti
