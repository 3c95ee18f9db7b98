// The control thread's side of a slot: open, submit, close.
#include <algorithm>
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
  verdict.component_scores.assign(layout.patches_per_strip() * bundle_.components().size(),
                                  std::numeric_limits<float>::quiet_NaN());
  verdict.thresholds.assign(thresholds.begin(), thresholds.end());
  verdict.vials.assign(layout.vial_count(), Verdict::kReject);
  if (bundle_.locator() != nullptr) verdict.locations.resize(static_cast<std::size_t>(layout.frames));
  return verdict;
}

void Inspector::Impl::start_slot(StripVerdict blank, Clock::time_point deadline) noexcept {
  set_ = busy_ == std::size_t{0} ? 1 : 0;
  slot_.open(std::move(blank), {time_->now(), deadline, options_.margin, ready_});
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
    if (slot_.is_open()) {
      slot_.mark_stale();  // the frames that follow may be of either strip
      return {Code::kFailedPrecondition, "open: expected no open slot, strip " + std::to_string(slot_.strip_id()) +
                                             " is still open; close it first"};
    }
    start_slot(std::move(prepared), deadline);
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
  if (slot_.state(static_cast<std::size_t>(frame_index)) != FrameState::kMissing) {
    return {Code::kFailedPrecondition, "submit: frame " + std::to_string(frame_index) + " of strip " +
                                           std::to_string(slot_.strip_id()) + " was submitted before"};
  }
  return check_frame(frame, bundle_.layout());
}

Status Inspector::Impl::check_stamp(int frame_index, const FrameStamp& stamp) const {
  const auto wrong = [&](const std::string& why) {
    return Status(Code::kInvalidArgument, "submit: frame " + std::to_string(frame_index) + " of strip " +
                                              std::to_string(slot_.strip_id()) + ": " + why);
  };
  if (stamp.strip_id != slot_.strip_id()) return wrong("its stamp is of strip " + std::to_string(stamp.strip_id));
  if (stamp.frame_index != frame_index) return wrong("its stamp is of frame " + std::to_string(stamp.frame_index));
  if (stamp.exposed >= slot_.opened() && stamp.exposed <= time_->now()) return {};
  return wrong("its stamp says that it was not exposed between open and submit");
}

Status Inspector::Impl::check_fresh(int frame_index, std::uint64_t digest) const {
  if (!options_.require_fresh_frames || !recent_.contains(digest)) return {};
  return {Code::kInvalidArgument,
          "submit: frame " + std::to_string(frame_index) + " of strip " + std::to_string(slot_.strip_id()) +
              " has the very pixels of a frame submitted before; the camera or its driver delivers old images"};
}

// Without the lock: the worker reads a frame only once it is kSubmitted.
Status Inspector::Impl::copy_frame(int frame_index, const FrameView& frame, std::unique_lock<std::mutex>& lock) {
  StripBuffers& buffers = sets_[set_];
  lock.unlock();
  const std::uint64_t digest = buffers.copy(static_cast<std::size_t>(frame_index), frame);
  Status status = check_fresh(frame_index, digest);
  if (status.ok()) recent_.add(digest);
  lock.lock();
  return status;
}

Status Inspector::Impl::submit(int frame_index, const FrameView& frame, const FrameStamp* stamp) {
  std::unique_lock lock(mutex_);
  if (!slot_.is_open()) {
    return {Code::kFailedPrecondition, "submit: expected an open slot, there is none; call open first"};
  }
  Status status = check_submit(frame_index, frame);
  if (!status.ok()) {
    slot_.refuse();
  } else {
    if (stamp != nullptr) status = check_stamp(frame_index, *stamp);
    if (status.ok()) status = copy_frame(frame_index, frame, lock);
    if (!status.ok()) slot_.mark_stale();
  }
  if (!status.ok()) return status;
  if (!slot_.submit(static_cast<std::size_t>(frame_index), time_->now())) return {};
  lock.unlock();
  work_.notify_one();
  return {};
}

StripVerdict Inspector::Impl::close() {
  std::unique_lock lock(mutex_);
  if (!slot_.is_open()) {
    lock.unlock();
    return not_ready(0);
  }
  while (slot_.has_unfinished_frames() && time_->now() < slot_.limit()) {
    time_->wait_until(progress_, lock, slot_.limit());
  }
  StripVerdict verdict = slot_.close(time_->now(), bundle_.layout());
  count(verdict);
  return verdict;
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

std::optional<Inspector::Impl::ScoredPatch> Inspector::Impl::find_scored(int frame, int vial, int region) const {
  const Layout& layout = bundle_.layout();
  const auto f = static_cast<std::size_t>(frame);
  const auto v = static_cast<std::size_t>(vial);
  const auto r = static_cast<std::size_t>(region);
  // Negative indices became huge ones.
  if (f >= static_cast<std::size_t>(layout.frames) || v >= layout.vial_count() || r >= layout.region_count()) {
    return std::nullopt;
  }
  const std::lock_guard lock(mutex_);
  if (slot_.is_open() || slot_.state(f) != FrameState::kScored) return std::nullopt;
  return ScoredPatch{sets_[set_], f, v * layout.region_count() + r};
}

std::optional<Inspector::PatchImages> Inspector::Impl::images(int frame, int vial, int region) const {
  const std::optional<ScoredPatch> found = find_scored(frame, vial, region);
  if (!found.has_value()) return std::nullopt;
  PatchImages images{found->buffers.input(found->frame, found->patch), {}};
  for (std::size_t i = 0; i < bundle_.outputs().size(); ++i) {
    if (bundle_.outputs()[i].role != OutputRole::kReconstruction) continue;
    images.reconstruction = found->buffers.output(i, found->frame, found->patch);
  }
  return images;
}

Status Inspector::Impl::map(int frame, int vial, int region, std::span<float> result) const {
  const std::size_t pixels = bundle_.layout().pixels_per_patch();
  if (result.size() != pixels) {
    return {Code::kInvalidArgument,
            "map: expected room for " + std::to_string(pixels) + " floats, got " + std::to_string(result.size())};
  }
  const std::optional<ScoredPatch> found = find_scored(frame, vial, region);
  if (!found.has_value()) {
    return {Code::kNotFound, "map: expected a patch that was scored for the strip closed last, got frame " +
                                 std::to_string(frame) + ", vial " + std::to_string(vial) + ", region " +
                                 std::to_string(region)};
  }
  std::vector<std::span<const float>> outputs;
  for (std::size_t i = 0; i < bundle_.outputs().size(); ++i) {
    outputs.push_back(found->buffers.output(i, found->frame, found->patch));
  }
  const PatchData data{found->buffers.input(found->frame, found->patch), outputs};
  return pipeline_->map(data, static_cast<std::size_t>(region), result);
}

}  // namespace vialsight
