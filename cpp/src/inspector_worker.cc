// The worker thread: takes the frames of the open slot one by one.
#include <utility>

#include "inspector_impl.h"

namespace vialsight {

Inspector::Impl::Impl(Parts parts)
    : bundle_(parts.bundle),
      options_(std::move(parts.options)),
      time_(std::move(parts.time)),
      pipeline_(std::move(parts.pipeline)),
      sets_{StripBuffers(bundle_.layout()), StripBuffers(bundle_.layout())},
      cost_(parts.cost) {
  queue_.reserve(static_cast<std::size_t>(bundle_.layout().frames));
  worker_ = std::thread([this] { work(); });
}

Inspector::Impl::~Impl() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  if (worker_.joinable()) worker_.join();
}

std::optional<std::size_t> Inspector::Impl::next_frame() const noexcept {
  if (!slot_.open || taken_ == queue_.size()) return std::nullopt;
  return queue_[taken_];
}

// Nothing when the frame's batch would not end in time: it is not started.
std::optional<Inspector::Impl::Job> Inspector::Impl::take_job(std::size_t frame) noexcept {
  ++taken_;
  FrameState& state = sets_[slot_.set].states[frame];
  if (!cost_.fits(time_->now(), slot_.limit)) {
    state = FrameState::kLate;
    cost_.skipped();
    return std::nullopt;
  }
  state = FrameState::kRunning;
  busy_ = slot_.set;
  return Job{slot_.generation, slot_.set, frame, slot_.limit};
}

void Inspector::Impl::run_job(const Job& job, std::unique_lock<std::mutex>& lock) {
  StripBuffers& buffers = sets_[job.set];
  lock.unlock();
  StageTimes times;
  const Clock::time_point started = time_->now();
  const FrameOutcome outcome = pipeline_->process(buffers.view(job.frame), buffers.patches(job.frame), times);
  const Clock::time_point ended = time_->now();
  lock.lock();
  busy_.reset();
  if (outcome == FrameOutcome::kScored) cost_.measured(ended - started);
  finish_job(job, outcome, times, ended);
}

void Inspector::Impl::finish_job(const Job& job, FrameOutcome outcome, const StageTimes& times,
                                 Clock::time_point ended) noexcept {
  const bool late = ended > job.limit;
  if (late) ++statistics_.overruns;
  if (!slot_.open || slot_.generation != job.generation) return;  // an earlier strip's: nobody waits for it
  slot_.times.extract_s += times.extract_s;
  slot_.times.infer_s += times.infer_s;
  slot_.times.score_s += times.score_s;
  FrameState& state = sets_[job.set].states[job.frame];
  if (outcome == FrameOutcome::kInvalid) {
    state = FrameState::kInvalid;
  } else if (outcome == FrameOutcome::kFault) {
    state = FrameState::kFault;
  } else {
    state = late ? FrameState::kLate : FrameState::kScored;
  }
}

void Inspector::Impl::work() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const std::optional<std::size_t> frame = next_frame();
    if (!frame.has_value()) {
      time_->wait_until(work_, lock, Clock::time_point::max());
      continue;
    }
    if (const std::optional<Job> job = take_job(*frame)) run_job(*job, lock);
    progress_.notify_all();
  }
}

}  // namespace vialsight
