#include "station/utf8.h"

#include <cstdint>

namespace vialsight::station {
namespace {

bool is_continuation(char character) noexcept { return (static_cast<unsigned char>(character) & 0xC0U) == 0x80U; }

// What the first byte announces; 0: no character begins so.
std::size_t announced_length(unsigned char first) noexcept {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return 2;
  if (first >= 0xE0 && first < 0xF0) return 3;
  return first >= 0xF0 && first < 0xF5 ? 4 : 0;
}

// Written longer than needed, a half of a UTF-16 pair, or beyond U+10FFFF.
bool is_forbidden(unsigned char first, unsigned char second) noexcept {
  return (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
         (first == 0xF4 && second > 0x8F);
}

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t length = announced_length(first);
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  return length > 2 && is_forbidden(first, static_cast<unsigned char>(text[1])) ? 0 : length;
}

std::string_view cut_utf8(std::string_view text, std::size_t bytes) noexcept {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && is_continuation(text[bytes])) --bytes;
  return text.substr(0, bytes);
}

}  // namespace vialsight::station
