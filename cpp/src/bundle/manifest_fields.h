// Fields that several parts of a manifest have. What is wrong is recorded in the reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/messages.h"

namespace vialsight {

inline constexpr std::int64_t kMaxInteger = std::numeric_limits<std::int64_t>::max();

// A foreign value as messages show it.
[[nodiscard]] std::string text_of(const nlohmann::json& value);

// True for 64 lower-case hexadecimal digits.
[[nodiscard]] bool is_sha256(std::string_view text) noexcept;
// True for 1 to 64 letters, digits and '_': names that become names of files, graph nodes and columns.
[[nodiscard]] bool is_identifier(std::string_view text) noexcept;

// A text that is not empty.
[[nodiscard]] std::string require_text(ObjectReader& reader, std::string_view key);
[[nodiscard]] std::string require_identifier(ObjectReader& reader, std::string_view key);
[[nodiscard]] std::string require_sha256(ObjectReader& reader, std::string_view key);
// "2026-11-22T02:30:00Z".
void require_time(ObjectReader& reader, std::string_view key);
// `count` finite numbers, one per region; names the first entry that is none.
[[nodiscard]] std::vector<double> require_finite(ObjectReader& reader, std::string_view key, std::size_t count);
// A number from 0 to 1; or null, where `nullable`.
void require_rate(ObjectReader& reader, std::string_view key, bool nullable);

}  // namespace vialsight
