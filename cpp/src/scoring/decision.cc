#include "vialsight/decision.h"

#include <algorithm>
#include <cstddef>

namespace vialsight {
namespace {

// Whether scores, thresholds and vials are as large as `layout` says, and there is anything to decide on.
bool sizes_fit(const Layout& layout, std::size_t scores, std::size_t thresholds, std::size_t vials) noexcept {
  if (layout.frames <= 0 || layout.vial_count() == 0 || layout.region_count() == 0) return false;
  return scores == layout.patches_per_strip() && thresholds == layout.region_count() && vials == layout.vial_count();
}

}  // namespace

const char* name_of(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kReject:
      return "reject";
    case Verdict::kAccept:
      return "accept";
  }
  return "unknown";
}

const char* name_of(Reason reason) noexcept {
  switch (reason) {
    case Reason::kNone:
      return "none";
    case Reason::kDefect:
      return "defect";
    case Reason::kDeadlineMissed:
      return "deadline_missed";
    case Reason::kFrameMissing:
      return "frame_missing";
    case Reason::kFrameInvalid:
      return "frame_invalid";
    case Reason::kScoreInvalid:
      return "score_invalid";
    case Reason::kBackendFault:
      return "backend_fault";
    case Reason::kNotReady:
      return "not_ready";
    case Reason::kFrameStale:
      return "frame_stale";
    case Reason::kNotLocated:
      return "not_located";
  }
  return "unknown";
}

const char* name_of(Level level) noexcept {
  switch (level) {
    case Level::kPatch:
      return "patch";
    case Level::kStrip:
      return "strip";
    case Level::kRun:
      return "run";
  }
  return "unknown";
}

Verdict decide(const Layout& layout, std::span<const float> scores, std::span<const double> thresholds,
               std::span<Verdict> vials) noexcept {
  std::fill(vials.begin(), vials.end(), Verdict::kReject);
  if (!sizes_fit(layout, scores.size(), thresholds.size(), vials.size())) return Verdict::kReject;

  std::fill(vials.begin(), vials.end(), Verdict::kAccept);
  const std::size_t regions = thresholds.size();
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (patch_is_defective(scores[i], thresholds[i % regions])) vials[(i / regions) % vials.size()] = Verdict::kReject;
  }
  const bool accepted = std::all_of(vials.begin(), vials.end(), [](Verdict v) { return v == Verdict::kAccept; });
  return accepted ? Verdict::kAccept : Verdict::kReject;
}

}  // namespace vialsight
