// Strict JSON: one meaning per text, and objects whose every key is known.
//
// Both halves report kDataCorrupt with the file, the field, what was expected and what came. No exception escapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "vialsight/status.h"

namespace vialsight {

inline constexpr int kMaxJsonDepth = 64;

// Parses `text`; `what` names it in messages ("manifest.json"). Errors: syntax, duplicate keys, numbers out of range
// (NaN and infinity are no JSON), nesting deeper than kMaxJsonDepth, invalid UTF-8, a byte order mark, anything after
// the value.
[[nodiscard]] Result<nlohmann::json> parse_strict_json(std::string_view text, const std::string& what);

// Reads one object of a closed schema, in which every key is required. Keeps the first thing that is wrong; after that
// each require_* returns an empty value, so that callers read all fields and look once, at finish().
class ObjectReader {
 public:
  // Borrows `value`. `path` names it in messages: "layout.json:" for a whole file, else path_of(key) of the parent.
  ObjectReader(const nlohmann::json& value, std::string path);

  [[nodiscard]] std::string require_string(std::string_view key);
  // An integer literal (2.0 is none) in [minimum, maximum].
  [[nodiscard]] std::int64_t require_integer(std::string_view key, std::int64_t minimum, std::int64_t maximum);
  [[nodiscard]] int require_int(std::string_view key, int minimum, int maximum);
  [[nodiscard]] double require_number(std::string_view key);
  [[nodiscard]] bool require_bool(std::string_view key);
  // Exactly `count` numbers.
  [[nodiscard]] std::vector<double> require_numbers(std::string_view key, std::size_t count);
  [[nodiscard]] std::vector<std::string> require_strings(std::string_view key);
  // The reference lives as long as the value given to the constructor; an empty array or object after an error.
  [[nodiscard]] const nlohmann::json& require_array(std::string_view key);
  [[nodiscard]] const nlohmann::json& require_object(std::string_view key);
  // The value, or nullptr where it is null (or after an error).
  [[nodiscard]] const nlohmann::json* require_nullable(std::string_view key);
  // An error unless `key` is the string `expected`.
  void require_constant(std::string_view key, std::string_view expected);
  // An error unless `key` is the number `expected`, exactly.
  void require_constant(std::string_view key, double expected);
  // An error unless `key` is null.
  void require_null(std::string_view key);

  // Records what only the caller can see ("ascending numbers", "3, 1, 2").
  void fail(std::string_view key, std::string_view expected, std::string_view came);
  // Records the error of a nested reader; ok() changes nothing.
  void merge(const Status& status);

  [[nodiscard]] std::string path_of(std::string_view key) const;
  // The first error, or the first key nobody asked for.
  [[nodiscard]] Status finish() const;

 private:
  [[nodiscard]] const nlohmann::json* find(std::string_view key);

  const nlohmann::json& value_;
  std::string path_;
  std::set<std::string, std::less<>> known_;
  Status first_error_;
};

}  // namespace vialsight
