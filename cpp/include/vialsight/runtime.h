// What a network runs on: the inference library, and in what numbers it multiplies. What goes in and comes out is
// float32 in any.
//
// Valid C++17, so that the backend modules can share it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vialsight {

// Each is a module vialsight_NAME.so beside the library. TensorFlow is what bundles are trained, frozen and proven
// with.
inline constexpr std::string_view kRuntimes[] = {"tensorflow", "openvino"};

[[nodiscard]] inline bool is_known_runtime(std::string_view name) noexcept {
  for (const std::string_view known : kRuntimes) {
    if (name == known) return true;
  }
  return false;
}

// "tensorflow, openvino", for messages.
[[nodiscard]] inline std::string known_runtimes() {
  std::string text;
  for (const std::string_view known : kRuntimes) text += (text.empty() ? "" : ", ") + std::string(known);
  return text;
}

enum class Precision : std::uint8_t {
  kFloat32 = 0,   // as the network was trained and proven
  kBfloat16 = 1,  // 8 bits of mantissa: fast on CPUs that multiply it, refused on others
  kInt8 = 2,      // integers of 8 bits where the graph rounds to them, float32 elsewhere
};

inline constexpr Precision kPrecisions[] = {Precision::kFloat32, Precision::kBfloat16, Precision::kInt8};

// As the manifest names it.
[[nodiscard]] constexpr const char* name_of(Precision precision) noexcept {
  switch (precision) {
    case Precision::kBfloat16:
      return "bfloat16";
    case Precision::kInt8:
      return "int8";
    default:
      return "float32";
  }
}

// "float32, bfloat16, int8", for messages.
[[nodiscard]] inline std::string known_precisions() {
  std::string text;
  for (const Precision known : kPrecisions) text += (text.empty() ? "" : ", ") + std::string(name_of(known));
  return text;
}

// Nothing where no precision is named so.
[[nodiscard]] constexpr std::optional<Precision> precision_of(std::string_view name) noexcept {
  for (const Precision precision : kPrecisions) {
    if (name == name_of(precision)) return precision;
  }
  return std::nullopt;
}

}  // namespace vialsight
