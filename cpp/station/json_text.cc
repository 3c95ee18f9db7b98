#include "station/json_text.h"

#include <array>
#include <charconv>
#include <cmath>

#include "station/utf8.h"

namespace vialsight::station {
namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

template <typename Number>
void append_number(std::string& text, Number number) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  text.append(digits.data(), end.ptr);
}

}  // namespace

void JsonText::separate() {
  if (!first_) text_ += ',';
  first_ = false;
}

JsonText& JsonText::open(char bracket) {
  if (!text_.empty() && text_.back() != ':') separate();
  text_ += bracket;
  first_ = true;
  return *this;
}

JsonText& JsonText::close(char bracket) {
  text_ += bracket;
  first_ = false;
  return *this;
}

JsonText& JsonText::key(std::string_view name) {
  value(name);
  text_ += ':';
  first_ = true;  // the value follows without a comma
  return *this;
}

void JsonText::escape(unsigned char character) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  if (character == '"' || character == '\\') {
    text_ += '\\';
    text_ += static_cast<char>(character);
  } else {
    text_ += "\\u00";
    text_ += kDigits[character >> 4U];
    text_ += kDigits[character & 0xFU];
  }
}

JsonText& JsonText::value(std::string_view text) {
  separate();
  text_ += '"';
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto first = static_cast<unsigned char>(text.front());
    if (length == 0) {
      text_ += '?';
    } else if (first < 0x20 || first == '"' || first == '\\' || first == 0x7F) {
      escape(first);
    } else {
      text_ += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  text_ += '"';
  return *this;
}

JsonText& JsonText::value(bool truth) {
  separate();
  text_ += truth ? "true" : "false";
  return *this;
}

JsonText& JsonText::value(std::nullptr_t) {
  separate();
  text_ += "null";
  return *this;
}

JsonText& JsonText::value(double number) {
  if (!std::isfinite(number)) return value(nullptr);
  separate();
  append_number(text_, number);
  return *this;
}

JsonText& JsonText::integer(std::int64_t number) {
  separate();
  append_number(text_, number);
  return *this;
}

JsonText& JsonText::natural(std::uint64_t number) {
  separate();
  append_number(text_, number);
  return *this;
}

JsonText& JsonText::base64(std::span<const std::byte> bytes) {
  separate();
  text_ += '"';
  while (!bytes.empty()) {
    const std::size_t count = bytes.size() < 3 ? bytes.size() : 3;
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = (bits << 8U) | (i < count ? static_cast<std::uint32_t>(bytes[i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) text_ += i <= count ? kBase64[(bits >> (18 - 6 * i)) & 0x3FU] : '=';
    bytes = bytes.subspan(count);
  }
  text_ += '"';
  return *this;
}

}  // namespace vialsight::station
