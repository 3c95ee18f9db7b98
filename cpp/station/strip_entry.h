// StripEntry: all that is recorded of one strip, in memory that is allocated once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "station/mode.h"
#include "station/utf8.h"
#include "vialsight/layout.h"
#include "vialsight/strip_verdict.h"

namespace vialsight::station {

// What became of the pictures of a strip.
enum class PictureFate : std::uint8_t {
  kNone,  // not asked for: accepted, or without a frame
  kKept,
  kNoneFree,  // all room for pictures waits for the disk
  kNoTime,    // the next strip came before they were taken
};

[[nodiscard]] constexpr const char* name_of(PictureFate fate) noexcept {
  switch (fate) {
    case PictureFate::kKept:
      return "kept";
    case PictureFate::kNoneFree:
      return "none_free";
    case PictureFate::kNoTime:
      return "no_time";
    case PictureFate::kNone:
      break;
  }
  return "none";
}

inline constexpr std::size_t kMaxFaultBytes = 255;
inline constexpr std::size_t kMaxNameBytes = 64;  // of a challenge strip

struct FrameTime {
  int index = 0;
  double exposed_ms = 0.0;  // after the trigger
};

struct StripEntry {
  explicit StripEntry(const Layout& layout) {
    name.reserve(kMaxNameBytes);
    last_fault.reserve(kMaxFaultBytes);
    frames.reserve(2 * static_cast<std::size_t>(layout.frames));
    verdict.scores.reserve(layout.patches_per_strip());
    verdict.thresholds.reserve(layout.region_count());
    verdict.vials.reserve(layout.vial_count());
    verdict.locations.reserve(static_cast<std::size_t>(layout.frames));
  }

  void clear() noexcept {
    strip_id = machine_count = 0;
    batch = 0;
    mode = Mode::kHalted;
    gate = Verdict::kReject;
    pictures = PictureFate::kNone;
    triggered_unix_ns = 0;
    latency_ms = slack_ms = 0.0;
    name.clear();
    last_fault.clear();
    frames.clear();
    take({});
  }
  // Copies what is recorded of a verdict into the memory that is here.
  void take(const StripVerdict& result) noexcept {
    verdict.verdict = result.verdict;
    verdict.reason = result.reason;
    verdict.times = result.times;
    verdict.slack_s = result.slack_s;
    verdict.scores.assign(result.scores.begin(), result.scores.end());
    verdict.thresholds.assign(result.thresholds.begin(), result.thresholds.end());
    verdict.vials.assign(result.vials.begin(), result.vials.end());
    verdict.locations.assign(result.locations.begin(), result.locations.end());
  }
  void set_fault(std::string_view text) noexcept { last_fault = cut_utf8(text, kMaxFaultBytes); }

  std::uint64_t strip_id = 0;
  std::uint64_t machine_count = 0;  // the machine's running number; 0: it came by none
  std::uint32_t batch = 0;
  Mode mode = Mode::kHalted;
  Verdict gate = Verdict::kReject;  // what the machine was told
  PictureFate pictures = PictureFate::kNone;
  std::int64_t triggered_unix_ns = 0;
  double latency_ms = 0.0;        // trigger to verdict
  double slack_ms = 0.0;          // verdict to deadline
  std::string name;               // of a challenge strip; empty: none
  std::string last_fault;         // why a frame was refused or not scored; empty: none was
  std::vector<FrameTime> frames;  // in the order in which they came
  StripVerdict verdict;
};

}  // namespace vialsight::station
