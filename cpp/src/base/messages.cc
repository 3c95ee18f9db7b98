#include "base/messages.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vialsight {
namespace {

constexpr std::size_t kMaxQuoted = 80;

bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result(text.substr(0, kMaxQuoted));
  std::replace_if(
      result.begin(), result.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  if (text.size() > kMaxQuoted) result += "...";
  return result;
}

std::string in_quotes(std::string_view text) { return '"' + printable(text) + '"'; }

bool is_plain_text(std::string_view text) {
  const auto is_control = [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; };
  return std::none_of(text.begin(), text.end(), is_control) && is_utf8(text);
}

}  // namespace vialsight
