// Codes, names and the clock of the C API.
#include "vialsight/c_api.h"

#include <chrono>
#include <limits>

#include "c_api/c_api_support.h"
#include "vialsight/version.h"

namespace vialsight {
namespace {

template <typename Enum>
constexpr bool same(Enum ours, int theirs) {
  return static_cast<int>(ours) == theirs;
}

static_assert(same(Code::kOk, VIALSIGHT_OK) && same(Code::kInvalidArgument, VIALSIGHT_INVALID_ARGUMENT) &&
              same(Code::kNotFound, VIALSIGHT_NOT_FOUND) && same(Code::kDataCorrupt, VIALSIGHT_DATA_CORRUPT) &&
              same(Code::kUnsupported, VIALSIGHT_UNSUPPORTED) &&
              same(Code::kFailedPrecondition, VIALSIGHT_FAILED_PRECONDITION) &&
              same(Code::kResourceExhausted, VIALSIGHT_RESOURCE_EXHAUSTED) &&
              same(Code::kBackendFault, VIALSIGHT_BACKEND_FAULT) &&
              same(Code::kPermissionDenied, VIALSIGHT_PERMISSION_DENIED));
static_assert(same(Verdict::kReject, VIALSIGHT_REJECT) && same(Verdict::kAccept, VIALSIGHT_ACCEPT));
static_assert(same(Reason::kNone, VIALSIGHT_REASON_NONE) && same(Reason::kDefect, VIALSIGHT_REASON_DEFECT) &&
              same(Reason::kDeadlineMissed, VIALSIGHT_REASON_DEADLINE_MISSED) &&
              same(Reason::kFrameMissing, VIALSIGHT_REASON_FRAME_MISSING) &&
              same(Reason::kFrameInvalid, VIALSIGHT_REASON_FRAME_INVALID) &&
              same(Reason::kScoreInvalid, VIALSIGHT_REASON_SCORE_INVALID) &&
              same(Reason::kBackendFault, VIALSIGHT_REASON_BACKEND_FAULT) &&
              same(Reason::kNotReady, VIALSIGHT_REASON_NOT_READY) &&
              same(Reason::kFrameStale, VIALSIGHT_REASON_FRAME_STALE) &&
              same(Reason::kNotLocated, VIALSIGHT_REASON_NOT_LOCATED));
static_assert(kReasonCount == VIALSIGHT_REASON_NOT_LOCATED + 1, "name the new reason in c_api_codes.h");
static_assert(kReasonCount <= VIALSIGHT_REASON_CAPACITY);
static_assert(same(Level::kPatch, VIALSIGHT_LEVEL_PATCH) && same(Level::kStrip, VIALSIGHT_LEVEL_STRIP) &&
              same(Level::kRun, VIALSIGHT_LEVEL_RUN));
static_assert(same(PixelFormat::kGray8, VIALSIGHT_GRAY8) && same(PixelFormat::kGray16, VIALSIGHT_GRAY16));
static_assert(same(Isolation::kInProcess, VIALSIGHT_IN_PROCESS) && same(Isolation::kWorker, VIALSIGHT_WORKER));
static_assert(std::chrono::nanoseconds(Clock::time_point::max().time_since_epoch()).count() == VIALSIGHT_NO_DEADLINE);
static_assert(same(NotFound::kNone, VIALSIGHT_LOCATED) && same(NotFound::kNotFinite, VIALSIGHT_UNLOCATED_NOT_FINITE) &&
              same(NotFound::kContrast, VIALSIGHT_UNLOCATED_CONTRAST) &&
              same(NotFound::kDegenerate, VIALSIGHT_UNLOCATED_DEGENERATE) &&
              same(NotFound::kOutsideReach, VIALSIGHT_UNLOCATED_OUTSIDE_REACH) &&
              same(NotFound::kNoConvergence, VIALSIGHT_UNLOCATED_NO_CONVERGENCE) &&
              same(NotFound::kResidual, VIALSIGHT_UNLOCATED_RESIDUAL) &&
              same(NotFound::kNotSearched, VIALSIGHT_UNLOCATED_NOT_SEARCHED));
// Structs of other versions have other sizes; these are this version's.
static_assert(sizeof(vialsight_layout) == 40 && sizeof(vialsight_options) == 88 && sizeof(vialsight_frame) == 40 &&
              sizeof(vialsight_stamp) == 32 && sizeof(vialsight_verdict) == 80 && sizeof(vialsight_statistics) == 304 &&
              sizeof(vialsight_health) == 32 && sizeof(vialsight_signals) == 48 && sizeof(vialsight_counters) == 288 &&
              sizeof(vialsight_location) == 64);

// The name of a number that may be none of Enum's.
template <typename Enum>
const char* name_or_unknown(std::int32_t number) noexcept {
  if (number < 0 || number > std::numeric_limits<std::uint8_t>::max()) return "unknown";
  return name_of(static_cast<Enum>(number));
}

}  // namespace
}  // namespace vialsight

using vialsight::name_or_unknown;

const char* vialsight_version(void) { return VIALSIGHT_VERSION; }

int64_t vialsight_now_ns(void) { return std::chrono::nanoseconds(vialsight::Clock::now().time_since_epoch()).count(); }

const char* vialsight_last_error(void) { return vialsight::last_error(); }

const char* vialsight_status_name(int32_t status) { return name_or_unknown<vialsight::Code>(status); }
const char* vialsight_verdict_name(int32_t verdict) { return name_or_unknown<vialsight::Verdict>(verdict); }
const char* vialsight_reason_name(int32_t reason) { return name_or_unknown<vialsight::Reason>(reason); }
const char* vialsight_level_name(int32_t level) { return name_or_unknown<vialsight::Level>(level); }
const char* vialsight_unlocated_name(int32_t reason) { return name_or_unknown<vialsight::NotFound>(reason); }
