#include "inspector/strip_slot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/time_source.h"
#include "scoring/pooling.h"

namespace vialsight {
namespace {

// Saturates: a deadline near either end of time must not wrap around to the other.
Clock::time_point limit_of(Clock::time_point deadline, Clock::duration margin) noexcept {
  if (deadline == Clock::time_point::max()) return deadline;
  if (deadline < Clock::time_point::min() + margin) return Clock::time_point::min();
  return deadline - margin;
}

// Each moment by itself: their difference could overflow.
double slack_at(Clock::time_point now, Clock::time_point deadline) noexcept {
  if (deadline == Clock::time_point::max()) return std::numeric_limits<double>::infinity();
  return seconds(deadline.time_since_epoch()) - seconds(now.time_since_epoch());
}

// `locates`: what was scored without being located was cut anywhere, and does not count.
FrameState state_of(const StripSlot::Finished& result, bool locates, bool late) noexcept {
  const FrameOutcome outcome = result.outcome;
  if (outcome == FrameOutcome::kInvalid) return FrameState::kInvalid;
  if (outcome == FrameOutcome::kFault) return FrameState::kFault;
  if (outcome == FrameOutcome::kNotLocated || (locates && !result.location.found)) return FrameState::kNotLocated;
  return late ? FrameState::kLate : FrameState::kScored;
}

// A frame's values into those of all frames.
void copy_frame(std::span<const float> values, std::size_t frame, std::vector<float>& all) noexcept {
  std::copy(values.begin(), values.end(), all.begin() + static_cast<std::ptrdiff_t>(frame * values.size()));
}

// Whether every frame of a strip with this reason was scored in time.
bool is_inspected(Reason reason) noexcept {
  return reason == Reason::kNone || reason == Reason::kDefect || reason == Reason::kScoreInvalid;
}

}  // namespace

StripSlot::StripSlot(std::size_t frames, const LocatorModel* locator)
    : locator_(locator), states_(frames, FrameState::kMissing), queue_(frames) {}

void StripSlot::open(StripVerdict blank, const Opening& opening) noexcept {
  verdict_ = std::move(blank);
  opening_ = opening;
  limit_ = limit_of(opening.deadline, opening.margin);
  open_ = true;
  lost_ = refused_ = stale_ = false;
  last_submit_.reset();
  ++generation_;
  std::fill(states_.begin(), states_.end(), FrameState::kMissing);
  queued_ = taken_ = 0;
}

bool StripSlot::submit(std::size_t frame, Clock::time_point now) noexcept {
  last_submit_ = now;
  states_[frame] = is_inspectable() ? FrameState::kSubmitted : FrameState::kFault;
  if (!is_inspectable()) return false;
  queue_[queued_++] = frame;
  return true;
}

std::optional<StripSlot::Job> StripSlot::take(bool fits) noexcept {
  const std::size_t frame = queue_[taken_++];
  states_[frame] = fits ? FrameState::kRunning : FrameState::kLate;
  if (!fits) return std::nullopt;
  return Job{generation_, frame, limit_};
}

void StripSlot::finish(const Job& job, const Finished& result) noexcept {
  if (!open_ || generation_ != job.generation) return;  // nobody waits for it
  verdict_.times.locate_s += result.times.locate_s;
  verdict_.times.extract_s += result.times.extract_s;
  verdict_.times.infer_s += result.times.infer_s;
  verdict_.times.score_s += result.times.score_s;
  if (job.frame < verdict_.locations.size()) verdict_.locations[job.frame] = result.location;
  states_[job.frame] = state_of(result, locator_ != nullptr, job.is_late(result.ended));
  if (states_[job.frame] != FrameState::kScored) return;
  copy_frame(result.scores, job.frame, verdict_.scores);
  copy_frame(result.components, job.frame, verdict_.component_scores);
}

void StripSlot::lose_backend() noexcept {
  if (!open_) return;
  lost_ = true;
  std::replace(states_.begin(), states_.end(), FrameState::kSubmitted, FrameState::kFault);
}

bool StripSlot::any_frame(FrameState state) const noexcept {
  return std::find(states_.begin(), states_.end(), state) != states_.end();
}

bool StripSlot::has_unfinished_frames() const noexcept {
  return any_frame(FrameState::kSubmitted) || any_frame(FrameState::kRunning);
}

bool StripSlot::is_late(Clock::time_point now) const noexcept {
  if (has_unfinished_frames() || any_frame(FrameState::kLate)) return true;
  return now > opening_.deadline || now < opening_.now;  // a clock that runs backwards proves nothing
}

// Pair by pair: a frame that nobody got to look at disagrees with none.
bool StripSlot::found_poses_agree() const noexcept {
  if (locator_ == nullptr) return true;
  const std::span<const Location> frames = verdict_.locations;
  for (std::size_t i = 1; i < frames.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      const std::array<Location, 2> pair = {frames[k], frames[i]};
      if (pair[0].found && pair[1].found && !poses_agree(pair, *locator_)) return false;
    }
  }
  return true;
}

// In the order of decision.h.
Reason StripSlot::reason_at(Clock::time_point now, Verdict decided) const noexcept {
  if (!opening_.ready) return Reason::kNotReady;
  if (refused_ || any_frame(FrameState::kInvalid)) return Reason::kFrameInvalid;
  if (stale_) return Reason::kFrameStale;
  if (any_frame(FrameState::kMissing)) return Reason::kFrameMissing;
  if (any_frame(FrameState::kNotLocated) || !found_poses_agree()) return Reason::kNotLocated;
  if (lost_ || any_frame(FrameState::kFault)) return Reason::kBackendFault;
  if (is_late(now)) return Reason::kDeadlineMissed;
  if (!all_finite(verdict_.scores)) return Reason::kScoreInvalid;
  return decided == Verdict::kAccept ? Reason::kNone : Reason::kDefect;
}

void StripSlot::note_times(Clock::time_point now) noexcept {
  verdict_.times.total_s = seconds(now - opening_.now);
  if (last_submit_.has_value()) verdict_.times.after_last_frame_s = seconds(now - *last_submit_);
  verdict_.slack_s = slack_at(now, opening_.deadline);
}

StripVerdict StripSlot::close(Clock::time_point now, const Layout& layout) noexcept {
  const Verdict decided = decide(layout, verdict_.scores, verdict_.thresholds, verdict_.vials);
  verdict_.reason = reason_at(now, decided);
  verdict_.verdict = verdict_.reason == Reason::kNone ? Verdict::kAccept : Verdict::kReject;
  // No vial of a strip that was not wholly inspected is known to be good.
  if (!is_inspected(verdict_.reason)) std::fill(verdict_.vials.begin(), verdict_.vials.end(), Verdict::kReject);
  note_times(now);
  open_ = false;
  return std::move(verdict_);
}

}  // namespace vialsight
