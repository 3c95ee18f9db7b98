// Whole characters of UTF-8: texts that are cut off, or come from strangers, stay readable.
#pragma once

#include <cstddef>
#include <string_view>

namespace vialsight::station {

// Bytes of the first character; 0: `text` is empty or does not begin with a character (RFC 3629).
[[nodiscard]] std::size_t utf8_length(std::string_view text) noexcept;

// The longest beginning of at most `bytes` bytes that cuts no character.
[[nodiscard]] std::string_view cut_utf8(std::string_view text, std::size_t bytes) noexcept;

}  // namespace vialsight::station
