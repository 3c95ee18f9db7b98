// The control thread's side of a slot: open, submit, close.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "inspector/inspector_impl.h"

namespace vialsight {

StripVerdict Inspector::Impl::blank_verdict(std::uint64_t strip_id) const {
  const Layout& layout = bundle_.layout();
  const std::span<const double> thresholds = bundle_.thresholds(options_.level);
  StripVerdict verdict;
  verdict.strip_id = strip_id;
  verdict.scores.assign(layout.patches_per_strip(), std::numeric_limits<float>::quiet_NaN());
  verdict.thresholds.assign(thresholds.begin(), thresholds.end());
  verdict.vials.assign(layout.vial_count(), Verdict::kReject);
  return verdict;
}

// Saturates: a deadline near either end of time must not wrap around to the other.
Clock::time_point Inspector::Impl::limit_of(Clock::time_point deadline) const noexcept {
  if (deadline == Clock::time_point::max()) return deadline;
  if (deadline < Clock::time_point::min() + options_.margin) return Clock::time_point::min();
  return deadline - options_.margin;
}

void Inspector::Impl::start_slot(Clock::time_point deadline) {
  const std::size_t set = busy_ == std::size_t{0} ? 1 : 0;
  Slot slot;
  slot.open = true;
  slot.generation = slot_.generation + 1;
  slot.set = set;
  slot.unready = !ready_;
  slot.deadline = deadline;
  slot.limit = limit_of(deadline);
  slot.opened = time_->now();
  slot_ = slot;
  std::fill(sets_[set].states.begin(), sets_[set].states.end(), FrameState::kMissing);
  queue_.clear();
  taken_ = 0;
}

Status Inspector::Impl::open(std::uint64_t strip_id, Clock::time_point deadline) {
  if (!is_calibrated()) {
    return {Code::kFailedPrecondition, std::string("open: bundle \"") + bundle_.name() +
                                           "\" has no thresholds for level " + name_of(options_.level) +
                                           "; run: vialsight calibrate"};
  }
  try {
    StripVerdict prepared = blank_verdict(strip_id);
    const std::lock_guard lock(mutex_);
    if (slot_.open) {
      slot_.stale = true;  // the frames that follow may be of either strip
      return {Code::kFailedPrecondition, "open: expected no open slot, strip " + std::to_string(verdict_.strip_id) +
                                             " is still open; close it first"};
    }
    verdict_ = std::move(prepared);
    start_slot(deadline);
    return {};
  } catch (const std::bad_alloc&) {
    return {Code::kResourceExhausted, "open: no memory"};
  }
}

Status Inspector::Impl::check_submit(int frame_index, const FrameView& frame) const {
  const int frames = bundle_.layout().frames;
  if (frame_index < 0 || frame_index >= frames) {
    return {Code::kInvalidArgument, "submit: expected a frame index from 0 to " + std::to_string(frames - 1) +
                                        ", got " + std::to_string(frame_index)};
  }
  if (sets_[slot_.set].states[static_cast<std::size_t>(frame_index)] != FrameState::kMissing) {
    return {Code::kFailedPrecondition, "submit: frame " + std::to_string(frame_index) + " of strip " +
                                           std::to_string(verdict_.strip_id) + " was submitted before"};
  }
  return check_frame(frame, bundle_.layout());
}

Status Inspector::Impl::check_stamp(int frame_index, const FrameStamp& stamp) const {
  const std::string what =
      "submit: frame " + std::to_string(frame_index) + " of strip " + std::to_string(verdict_.strip_id) + ": ";
  if (stamp.strip_id != verdict_.strip_id) {
    return {Code::kInvalidArgument, what + "its stamp is of strip " + std::to_string(stamp.strip_id)};
  }
  if (stamp.frame_index != frame_index) {
    return {Code::kInvalidArgument, what + "its stamp is of frame " + std::to_string(stamp.frame_index)};
  }
  if (stamp.exposed >= slot_.opened && stamp.exposed <= time_->now()) return {};
  return {Code::kInvalidArgument, what + "its stamp says that it was not exposed between open and submit"};
}

Status Inspector::Impl::check_fresh(int frame_index, std::uint64_t digest) const {
  if (!options_.require_fresh_frames || !recent_.contains(digest)) return {};
  return {Code::kInvalidArgument,
          "submit: frame " + std::to_string(frame_index) + " of strip " + std::to_string(verdict_.strip_id) +
              " has the very pixels of a frame submitted before; the camera or its driver delivers old images"};
}

// Without the lock: the worker reads a frame only once it is kSubmitted.
Status Inspector::Impl::copy_frame(int frame_index, const FrameView& frame, std::unique_lock<std::mutex>& lock) {
  StripBuffers& buffers = sets_[slot_.set];
  lock.unlock();
  const std::uint64_t digest = buffers.copy(static_cast<std::size_t>(frame_index), frame);
  Status status = check_fresh(frame_index, digest);
  if (status.ok()) recent_.add(digest);
  lock.lock();
  return status;
}

Status Inspector::Impl::submit(int frame_index, const FrameView& frame, const FrameStamp* stamp) {
  std::unique_lock lock(mutex_);
  if (!slot_.open) return {Code::kFailedPrecondition, "submit: expected an open slot, there is none; call open first"};
  Status status = check_submit(frame_index, frame);
  slot_.refused |= !status.ok();
  if (status.ok()) {
    if (stamp != nullptr) status = check_stamp(frame_index, *stamp);
    if (status.ok()) status = copy_frame(frame_index, frame, lock);
    slot_.stale |= !status.ok();
  }
  if (!status.ok()) return status;
  const auto index = static_cast<std::size_t>(frame_index);
  slot_.last_submit = time_->now();
  sets_[slot_.set].states[index] = is_inspectable() ? FrameState::kSubmitted : FrameState::kFault;
  if (!is_inspectable()) return {};
  queue_.push_back(index);
  lock.unlock();
  work_.notify_one();
  return {};
}

bool Inspector::Impl::any_frame(FrameState state) const noexcept {
  const std::vector<FrameState>& states = sets_[slot_.set].states;
  return std::find(states.begin(), states.end(), state) != states.end();
}

bool Inspector::Impl::has_unfinished_frames() const noexcept {
  return any_frame(FrameState::kSubmitted) || any_frame(FrameState::kRunning);
}

StripVerdict Inspector::Impl::close() {
  std::unique_lock lock(mutex_);
  if (!slot_.open) {
    lock.unlock();
    return not_ready(0);
  }
  while (has_unfinished_frames() && time_->now() < slot_.limit) time_->wait_until(progress_, lock, slot_.limit);
  conclude(time_->now());
  slot_.open = false;
  count(verdict_);
  return std::move(verdict_);
}

void Inspector::Impl::collect_scores() noexcept {
  const StripBuffers& buffers = sets_[slot_.set];
  for (std::size_t frame = 0; frame < buffers.states.size(); ++frame) {
    if (buffers.states[frame] != FrameState::kScored) continue;
    const std::span<const float> scores = buffers.scores(frame);
    std::copy(scores.begin(), scores.end(),
              verdict_.scores.begin() + static_cast<std::ptrdiff_t>(frame * scores.size()));
  }
}

bool Inspector::Impl::all_scores_finite() const noexcept {
  return std::all_of(verdict_.scores.begin(), verdict_.scores.end(), [](float score) { return std::isfinite(score); });
}

// In the order of decision.h.
Reason Inspector::Impl::reason_at(Clock::time_point now, Verdict decided) const noexcept {
  if (slot_.unready) return Reason::kNotReady;
  if (slot_.refused || any_frame(FrameState::kInvalid)) return Reason::kFrameInvalid;
  if (slot_.stale) return Reason::kFrameStale;
  if (any_frame(FrameState::kMissing)) return Reason::kFrameMissing;
  if (slot_.lost || any_frame(FrameState::kFault)) return Reason::kBackendFault;
  if (has_unfinished_frames() || any_frame(FrameState::kLate) || now > slot_.deadline) return Reason::kDeadlineMissed;
  if (now < slot_.opened) return Reason::kDeadlineMissed;  // a clock that runs backwards proves nothing
  if (!all_scores_finite()) return Reason::kScoreInvalid;
  return decided == Verdict::kAccept ? Reason::kNone : Reason::kDefect;
}

void Inspector::Impl::conclude(Clock::time_point now) noexcept {
  collect_scores();
  const Verdict decided = decide(bundle_.layout(), verdict_.scores, verdict_.thresholds, verdict_.vials);
  verdict_.reason = reason_at(now, decided);
  verdict_.verdict = verdict_.reason == Reason::kNone ? Verdict::kAccept : Verdict::kReject;
  const bool inspected = verdict_.reason == Reason::kNone || verdict_.reason == Reason::kDefect ||
                         verdict_.reason == Reason::kScoreInvalid;
  // No vial of a strip that was not wholly inspected is known to be good.
  if (!inspected) std::fill(verdict_.vials.begin(), verdict_.vials.end(), Verdict::kReject);

  verdict_.times = slot_.times;
  verdict_.times.total_s = seconds(now - slot_.opened);
  if (slot_.last_submit.has_value()) verdict_.times.after_last_frame_s = seconds(now - *slot_.last_submit);
  const bool unlimited = slot_.deadline == Clock::time_point::max();
  // Each moment by itself: their difference could overflow.
  verdict_.slack_s = unlimited ? std::numeric_limits<double>::infinity()
                               : seconds(slot_.deadline.time_since_epoch()) - seconds(now.time_since_epoch());
}

void Inspector::Impl::count(const StripVerdict& verdict) noexcept {
  ++statistics_.strips;
  if (verdict.verdict == Verdict::kAccept) {
    ++statistics_.accepted;
  } else {
    ++statistics_.rejected[static_cast<std::size_t>(verdict.reason)];
  }
}

StripVerdict Inspector::Impl::not_ready(std::uint64_t strip_id) {
  StripVerdict verdict;
  verdict.strip_id = strip_id;
  try {
    verdict = blank_verdict(strip_id);
  } catch (const std::bad_alloc&) {  // a verdict without details is a reject all the same
  }
  const std::lock_guard lock(mutex_);
  count(verdict);
  return verdict;
}

StripVerdict Inspector::Impl::inspect(std::uint64_t strip_id, std::span<const FrameView> frames,
                                      Clock::time_point deadline) {
  if (!open(strip_id, deadline).ok()) return not_ready(strip_id);
  // One frame too many is enough to be refused.
  const std::size_t count = std::min(frames.size(), static_cast<std::size_t>(bundle_.layout().frames) + 1);
  // A refused frame is in the verdict's reason.
  for (std::size_t i = 0; i < count; ++i) (void)submit(static_cast<int>(i), frames[i], nullptr);
  return close();
}

Health Inspector::Impl::health() const {
  Health health;
  health.ready = ready();
  health.heartbeat = heartbeat_;
  health.worker_pid = restartable_ != nullptr ? restartable_->pid() : 0;
  const std::lock_guard lock(mutex_);
  health.restarts = restarts_;
  health.last_fault = last_fault_;
  return health;
}

Statistics Inspector::Impl::statistics() const noexcept {
  const std::lock_guard lock(mutex_);
  Statistics result = statistics_;
  result.batch_cost_s = seconds(cost_.estimate());
  return result;
}

std::optional<Inspector::PatchImages> Inspector::Impl::images(int frame, int vial, int region) const {
  const Layout& layout = bundle_.layout();
  const auto f = static_cast<std::size_t>(frame);
  const auto v = static_cast<std::size_t>(vial);
  const auto r = static_cast<std::size_t>(region);
  // Negative indices became huge ones.
  if (f >= static_cast<std::size_t>(layout.frames) || v >= layout.vial_count() || r >= layout.region_count()) {
    return std::nullopt;
  }
  const std::lock_guard lock(mutex_);
  const StripBuffers& buffers = sets_[slot_.set];
  if (slot_.open || slot_.generation == 0 || buffers.states[f] != FrameState::kScored) return std::nullopt;
  return buffers.images(f, v * layout.region_count() + r);
}

}  // namespace vialsight
