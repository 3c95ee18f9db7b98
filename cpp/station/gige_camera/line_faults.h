// What may go wrong with the frames of a strip, chosen at random, the same for the same seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace vialsight::station {

enum class LineFault : std::uint8_t {
  kNone,
  kLostPackets,  // half of a frame's packets do not arrive
  kLate,         // a frame and those behind it arrive so much later
  kLost,         // a frame does not arrive; its block id is left out
  kUntriggered,  // a frame is not exposed: the camera missed the trigger, and block ids know nothing of it
  kRepeated,     // a frame shows an old image
  kSwapped,      // two frames have changed places, images and times of exposure; block ids count on
};
// "lost_packets", …; "" for kNone.
[[nodiscard]] const char* name_of(LineFault fault) noexcept;

// Share of strips with each; a strip has one at most. `missing`: one half each is kLost and kUntriggered.
struct FaultShares {
  double lose_packets = 0.0;
  double late = 0.0;
  double missing = 0.0;
  double repeat = 0.0;
  double swap = 0.0;

  [[nodiscard]] double sum() const noexcept { return lose_packets + late + missing + repeat + swap; }
};

struct StripFault {
  LineFault fault = LineFault::kNone;
  std::size_t frame = 0;  // that is hit; kSwapped: this and the next

  // "late:2", or "" where there is none.
  [[nodiscard]] std::string text() const;
};

class FaultPlan {
 public:
  FaultPlan(const FaultShares& shares, std::uint64_t seed) : shares_(shares), random_(seed) {}

  [[nodiscard]] StripFault next(std::size_t frames);

 private:
  [[nodiscard]] LineFault choose();

  FaultShares shares_;
  std::mt19937_64 random_;
};

}  // namespace vialsight::station
