// What the station was told to do, and what keeps it from doing so.
#pragma once

#include <cstdint>

namespace vialsight::station {

enum class Mode : std::uint8_t { kHalted = 0, kProduction = 1, kChallenge = 2 };

[[nodiscard]] constexpr const char* name_of(Mode mode) noexcept {
  if (mode == Mode::kProduction) return "production";
  return mode == Mode::kChallenge ? "challenge" : "halted";
}

// Bits of a set. Found by the station itself, and gone by itself.
enum Hindrance : std::uint32_t {
  kCameraLost = 1,
  kMachineLost = 2,        // no gateway, where strips come by it
  kSpoolLag = 4,           // strips wait for the disk, or it refuses them
  kInspectorNotReady = 8,  // the worker is being started again
  kStarting = 16,
};

}  // namespace vialsight::station
