#include "bundle/manifest_fields.h"

#include <algorithm>
#include <cmath>

namespace vialsight {
namespace {

using nlohmann::json;

bool is_utc_time(std::string_view text) noexcept {
  constexpr std::string_view kPattern = "dddd-dd-ddTdd:dd:ddZ";
  return std::equal(text.begin(), text.end(), kPattern.begin(), kPattern.end(),
                    [](char c, char expected) { return expected == 'd' ? c >= '0' && c <= '9' : c == expected; });
}

}  // namespace

std::string text_of(const json& value) { return printable(value.dump(-1, ' ', true, json::error_handler_t::replace)); }

bool is_sha256(std::string_view text) noexcept {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_identifier(std::string_view text) noexcept {
  constexpr std::size_t kLongest = 64;
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !text.empty() && text.size() <= kLongest && std::all_of(text.begin(), text.end(), is_allowed);
}

std::string require_text(ObjectReader& reader, std::string_view key) {
  std::string text = reader.require_string(key);
  if (text.empty()) reader.fail(key, "a text", "an empty one");
  return text;
}

std::string require_identifier(ObjectReader& reader, std::string_view key) {
  std::string text = reader.require_string(key);
  if (!is_identifier(text)) reader.fail(key, "1 to 64 letters, digits and _", in_quotes(text));
  return text;
}

std::string require_sha256(ObjectReader& reader, std::string_view key) {
  std::string text = reader.require_string(key);
  if (!is_sha256(text)) reader.fail(key, "64 lower-case hexadecimal digits", in_quotes(text));
  return text;
}

void require_time(ObjectReader& reader, std::string_view key) {
  const std::string text = reader.require_string(key);
  if (!is_utc_time(text)) reader.fail(key, "a time as 2026-01-31T23:59:59Z", in_quotes(text));
}

std::vector<double> require_finite(ObjectReader& reader, std::string_view key, std::size_t count) {
  const json& array = reader.require_array(key);
  if (array.size() != count) {
    reader.fail(key, std::to_string(count) + " numbers, one per region", std::to_string(array.size()));
    return {};
  }
  std::vector<double> numbers;
  for (const json& entry : array) {
    if (!entry.is_number() || !std::isfinite(entry.get<double>())) {
      reader.fail(std::string(key) + "[" + std::to_string(numbers.size()) + "]", "a finite number", text_of(entry));
      return {};
    }
    numbers.push_back(entry.get<double>());
  }
  return numbers;
}

void require_rate(ObjectReader& reader, std::string_view key, bool nullable) {
  const json* value = reader.require_nullable(key);
  if (value == nullptr) {
    if (!nullable) reader.fail(key, "a number from 0 to 1", "null");
    return;
  }
  const bool valid = value->is_number() && value->get<double>() >= 0.0 && value->get<double>() <= 1.0;
  if (!valid) reader.fail(key, "a number from 0 to 1", text_of(*value));
}

}  // namespace vialsight
