// Decision (paper §5.2.2, eq. 14): patch scores to vial verdicts to the strip's verdict.
//
// A patch is rejected when φ > t_region or when φ is not finite; a vial when any of its patches is; a strip when any
// vial is. Everything not known to be good is rejected: zeroed memory is a reject, a missing score is NaN.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "vialsight/export.h"
#include "vialsight/layout.h"
#include "vialsight/status.h"

namespace vialsight {

enum class Verdict : std::uint8_t { kReject = 0, kAccept = 1 };

// Why a strip was rejected; kNone only with kAccept. When several apply, the first of this order that does:
// kNotReady, kFrameInvalid, kFrameStale, kFrameMissing, kNotLocated, kBackendFault, kDeadlineMissed, kScoreInvalid,
// kDefect.
enum class Reason : std::uint8_t {
  kNone = 0,
  kDefect,          // at least one finite φ above its threshold, and every patch inspected
  kDeadlineMissed,  // not all patches were scored in time
  kFrameMissing,    // fewer frames than the layout asks for
  kFrameInvalid,    // a frame did not fit the layout, or shows nothing: every pixel of a patch is the same
  kScoreInvalid,    // a φ is not finite
  kBackendFault,    // the backend failed
  kNotReady,        // no open slot, no thresholds for the chosen level, or the worker is being started again
  kFrameStale,      // a frame of another moment: seen before, or stamped with another strip, index or time
  kNotLocated,      // the product was not found in a frame, or lies differently in the frames of one strip
};
inline constexpr int kReasonCount = 10;

[[nodiscard]] VIALSIGHT_API const char* name_of(Verdict verdict) noexcept;  // "accept", "reject"
[[nodiscard]] VIALSIGHT_API const char* name_of(Reason reason) noexcept;    // "none", "defect", "deadline_missed", ...

// The set of thresholds a decision uses; each is tuned for its level (SPEC §6). The line uses kStrip.
enum class Level : std::uint8_t { kPatch = 0, kStrip = 1, kRun = 2 };
[[nodiscard]] VIALSIGHT_API const char* name_of(Level level) noexcept;  // "patch", "strip", "run"

[[nodiscard]] constexpr bool patch_is_defective(float score, double threshold) noexcept {
  constexpr float kLargest = std::numeric_limits<float>::max();
  // Written so that NaN, whichever side it comes from, makes it false; a threshold of infinity would accept everything.
  const bool inspected = score >= -kLargest && score <= kLargest && threshold <= std::numeric_limits<double>::max();
  return !(inspected && static_cast<double>(score) <= threshold);
}

// Fills vials[v] from scores [F][V][R] and thresholds [R]; returns the strip's verdict.
// Any size that does not fit `layout`, also nothing to decide on, gives kReject everywhere.
[[nodiscard]] VIALSIGHT_API Verdict decide(const Layout& layout, std::span<const float> scores,
                                           std::span<const double> thresholds, std::span<Verdict> vials) noexcept;

}  // namespace vialsight
