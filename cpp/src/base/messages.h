// What error messages are made of.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vialsight/status.h"

namespace vialsight {

// At most 80 characters of foreign text, safe to quote in a message: printable ASCII, the rest as '?'.
[[nodiscard]] std::string printable(std::string_view text);
// The same, in quotation marks. Not `quoted`, which argument-dependent lookup would find in std, too.
[[nodiscard]] std::string in_quotes(std::string_view text);
// Whether it is UTF-8 without control characters: a name that tables, messages and logs can show.
[[nodiscard]] bool is_plain_text(std::string_view text);

// "0,1", as taskset writes it; empty where there are none.
template <typename Number>
[[nodiscard]] std::string joined(const std::vector<Number>& numbers) {
  std::string text;
  for (const Number number : numbers) text += (text.empty() ? "" : ",") + std::to_string(number);
  return text;
}

[[nodiscard]] inline Status corrupt(std::string message) { return {Code::kDataCorrupt, std::move(message)}; }

}  // namespace vialsight
