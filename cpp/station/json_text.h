// JsonText: writes one JSON object into a string that has room for it, so that nothing is allocated.
//
//   JsonText(text).field("event", "stopped").field("pid", 17).end();
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace vialsight::station {

class JsonText {
 public:
  // Clears `text`, which is borrowed.
  explicit JsonText(std::string& text) : text_(text) {
    text_.clear();
    open('{');
  }

  // A key in front of each value, within an object.
  JsonText& key(std::string_view name);

  JsonText& value(std::string_view text);  // bytes that are no UTF-8 become "?"
  JsonText& value(const char* text) { return value(std::string_view(text)); }
  JsonText& value(bool truth);
  JsonText& value(double number);  // null where it is not finite; as short as reads back the same
  JsonText& value(std::nullptr_t);
  template <std::integral Number>
  JsonText& value(Number number) {
    if constexpr (std::signed_integral<Number>) {
      return integer(static_cast<std::int64_t>(number));
    } else {
      return natural(static_cast<std::uint64_t>(number));
    }
  }
  // Base64 (RFC 4648) of these bytes.
  JsonText& base64(std::span<const std::byte> bytes);

  template <typename Value>
  JsonText& field(std::string_view name, const Value& content) {
    return key(name).value(content);
  }
  JsonText& begin_object() { return open('{'); }
  JsonText& begin_array() { return open('['); }
  JsonText& end_array() { return close(']'); }
  JsonText& end() { return close('}'); }

 private:
  JsonText& open(char bracket);
  JsonText& close(char bracket);
  JsonText& integer(std::int64_t number);
  JsonText& natural(std::uint64_t number);
  void separate();
  void escape(unsigned char character);

  std::string& text_;
  bool first_ = true;  // nothing stands before in this object or array
};

}  // namespace vialsight::station
