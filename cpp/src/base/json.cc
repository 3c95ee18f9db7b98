#include "base/json.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <new>
#include <utility>

#include "base/messages.h"

namespace vialsight {
namespace {

using nlohmann::json;

// Thrown out of the parser's callback, the only way to stop it; caught in parse_strict_json.
class StrictnessViolation : public std::exception {
 public:
  explicit StrictnessViolation(std::string message) : message_(std::move(message)) {}
  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

// Sees every event of the parser and throws on duplicate keys and deep nesting.
class StrictnessCheck {
 public:
  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
        keys_.emplace_back();
        check_depth(depth);
        break;
      case json::parse_event_t::array_start:
        check_depth(depth);
        break;
      case json::parse_event_t::key:
        add_key(parsed.get_ref<const std::string&>());
        break;
      case json::parse_event_t::object_end:
        keys_.pop_back();
        break;
      default:
        break;
    }
    return true;
  }

 private:
  static void check_depth(int depth) {
    if (depth >= kMaxJsonDepth) {
      throw StrictnessViolation("expected at most " + std::to_string(kMaxJsonDepth) + " nested levels, got more");
    }
  }
  void add_key(const std::string& key) {
    if (!keys_.back().insert(key).second) {
      throw StrictnessViolation("key " + in_quotes(key) + " appears twice in one object");
    }
  }

  std::vector<std::set<std::string>> keys_;
};

// What a message shows of a value: its type and, where short, itself.
std::string describe(const json& value) {
  switch (value.type()) {
    case json::value_t::string:
      return in_quotes(value.get_ref<const std::string&>());
    case json::value_t::array:
      return "an array of " + std::to_string(value.size());
    case json::value_t::object:
      return "an object";
    default:
      return value.dump();
  }
}

// Where the parser's own text ("[json.exception.parse_error.101] parse error at …") begins to help.
std::string without_tag(std::string_view message) {
  const std::size_t end = message.find("] ");
  std::string text(end == std::string_view::npos ? message : message.substr(end + 2));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

}  // namespace

Result<json> parse_strict_json(std::string_view text, const std::string& what) {
  // The parser takes a zero byte for the end of the text and skips a byte order mark.
  if (text.find('\0') != std::string_view::npos) {
    return corrupt(what + ": expected JSON text, got a zero byte");
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") {
    return corrupt(what + ": expected UTF-8 without a byte order mark; save the file without it");
  }
  StrictnessCheck check;
  try {
    return json::parse(text, std::ref(check));
  } catch (const json::exception& error) {
    return corrupt(what + ": not valid JSON: " + without_tag(error.what()));
  } catch (const StrictnessViolation& error) {
    return corrupt(what + ": " + error.what());
  } catch (const std::bad_alloc&) {
    return Status(Code::kResourceExhausted, what + ": not enough memory to read it");
  }
}

ObjectReader::ObjectReader(const json& value, std::string path) : value_(value), path_(std::move(path)) {
  if (value_.is_object()) return;
  first_error_ = corrupt(path_ + " expected an object, got " + describe(value_));
}

std::string ObjectReader::path_of(std::string_view key) const {
  const char* separator = path_.ends_with(':') ? " " : ".";
  return path_ + separator + printable(key);
}

void ObjectReader::merge(const Status& status) {
  if (first_error_.ok()) first_error_ = status;
}

void ObjectReader::fail(std::string_view key, std::string_view expected, std::string_view came) {
  if (!first_error_.ok()) return;
  first_error_ = corrupt(path_of(key) + ": expected " + std::string(expected) + ", got " + std::string(came));
}

const json* ObjectReader::find(std::string_view key) {
  known_.emplace(key);
  if (!value_.is_object()) return nullptr;
  const auto entry = value_.find(std::string(key));
  if (entry != value_.end()) return &*entry;
  if (first_error_.ok()) first_error_ = corrupt(path_of(key) + ": missing");
  return nullptr;
}

std::string ObjectReader::require_string(std::string_view key) {
  const json* value = find(key);
  if (value == nullptr) return {};
  if (value->is_string()) return value->get<std::string>();
  fail(key, "a string", describe(*value));
  return {};
}

std::int64_t ObjectReader::require_integer(std::string_view key, std::int64_t minimum, std::int64_t maximum) {
  const json* value = find(key);
  if (value == nullptr) return minimum;
  // Unsigned values above the signed range would wrap in get<std::int64_t>().
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() || std::in_range<std::int64_t>(value->get<std::uint64_t>()));
  if (fits) {
    const auto number = value->get<std::int64_t>();
    if (number >= minimum && number <= maximum) return number;
  }
  fail(key, "an integer from " + std::to_string(minimum) + " to " + std::to_string(maximum), describe(*value));
  return minimum;
}

int ObjectReader::require_int(std::string_view key, int minimum, int maximum) {
  return static_cast<int>(require_integer(key, minimum, maximum));
}

double ObjectReader::require_number(std::string_view key) {
  const json* value = find(key);
  if (value == nullptr) return 0.0;
  if (value->is_number()) return value->get<double>();
  fail(key, "a number", describe(*value));
  return 0.0;
}

bool ObjectReader::require_bool(std::string_view key) {
  const json* value = find(key);
  if (value == nullptr) return false;
  if (value->is_boolean()) return value->get<bool>();
  fail(key, "true or false", describe(*value));
  return false;
}

std::vector<double> ObjectReader::require_numbers(std::string_view key, std::size_t count) {
  const json& array = require_array(key);
  const bool valid =
      array.size() == count && std::all_of(array.begin(), array.end(), [](auto& v) { return v.is_number(); });
  if (valid) return array.get<std::vector<double>>();
  const std::string came = array.dump(-1, ' ', true, json::error_handler_t::replace);
  fail(key, "an array of " + std::to_string(count) + " numbers", printable(came));
  return {};
}

std::vector<std::string> ObjectReader::require_strings(std::string_view key) {
  const json& array = require_array(key);
  std::vector<std::string> strings;
  for (const json& entry : array) {
    if (!entry.is_string()) {
      fail(key, "an array of strings", "one with " + describe(entry));
      return {};
    }
    strings.push_back(entry.get<std::string>());
  }
  return strings;
}

const json& ObjectReader::require_array(std::string_view key) {
  static const json kEmpty = json::array();
  const json* value = find(key);
  if (value == nullptr) return kEmpty;
  if (value->is_array()) return *value;
  fail(key, "an array", describe(*value));
  return kEmpty;
}

const json& ObjectReader::require_object(std::string_view key) {
  static const json kEmpty = json::object();
  const json* value = find(key);
  if (value == nullptr) return kEmpty;
  if (value->is_object()) return *value;
  fail(key, "an object", describe(*value));
  return kEmpty;
}

const json* ObjectReader::require_nullable(std::string_view key) {
  const json* value = find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void ObjectReader::require_constant(std::string_view key, std::string_view expected) {
  const json* value = find(key);
  if (value == nullptr) return;
  if (value->is_string() && value->get_ref<const std::string&>() == expected) return;
  fail(key, in_quotes(expected), describe(*value));
}

void ObjectReader::require_constant(std::string_view key, double expected) {
  const json* value = find(key);
  if (value == nullptr) return;
  if (value->is_number() && value->get<double>() == expected) return;
  fail(key, json(expected).dump(), describe(*value));
}

void ObjectReader::require_null(std::string_view key) {
  const json* value = find(key);
  if (value != nullptr && !value->is_null()) fail(key, "null", describe(*value));
}

Status ObjectReader::finish() const {
  if (!first_error_.ok()) return first_error_;
  for (const auto& [key, value] : value_.items()) {
    if (!known_.contains(key)) return corrupt(path_of(key) + ": unknown key");
  }
  return {};
}

}  // namespace vialsight
