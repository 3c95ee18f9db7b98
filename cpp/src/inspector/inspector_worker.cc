// The worker thread: takes the frames of the open slot one by one.
#include <utility>

#include "inspector/inspector_impl.h"

namespace vialsight {
namespace {

// How often the thread wakes with nothing to do: its heartbeat, and the time after which a dead worker is noticed.
constexpr std::chrono::milliseconds kIdleWake{100};
constexpr std::size_t kStripsRemembered = 64;  // longer than any ring of buffers in a camera or its driver

StripBuffers make_buffers(const Layout& layout, RestartableBackend* backend, std::size_t set) {
  if (backend == nullptr) return StripBuffers(layout);
  const PatchMemory both = backend->memory();
  const std::size_t size = layout.patches_per_strip() * layout.pixels_per_patch();
  return StripBuffers(layout, {both.inputs.subspan(set * size, size), both.reconstructions.subspan(set * size, size)});
}

}  // namespace

Inspector::Impl::Impl(Parts parts)
    : bundle_(parts.bundle),
      options_(std::move(parts.options)),
      time_(std::move(parts.time)),
      pipeline_(std::move(parts.pipeline)),
      restartable_(parts.restartable),
      sets_{make_buffers(bundle_.layout(), restartable_, 0), make_buffers(bundle_.layout(), restartable_, 1)},
      recent_(kStripsRemembered * static_cast<std::size_t>(bundle_.layout().frames)),
      cost_(parts.cost) {
  queue_.reserve(static_cast<std::size_t>(bundle_.layout().frames));
  worker_ = std::thread([this] { work(); });
}

Inspector::Impl::~Impl() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  if (restartable_ != nullptr) restartable_->cancel();
  work_.notify_all();
  if (worker_.joinable()) worker_.join();
}

std::optional<std::size_t> Inspector::Impl::next_frame() const noexcept {
  if (!is_inspectable() || taken_ == queue_.size()) return std::nullopt;
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
  Status error;
  const Clock::time_point started = time_->now();
  const FrameOutcome outcome = pipeline_->process(buffers.view(job.frame), buffers.patches(job.frame), times, &error);
  const Clock::time_point ended = time_->now();
  lock.lock();
  busy_.reset();
  if (outcome == FrameOutcome::kScored) cost_.measured(ended - started);
  finish_job(job, outcome, times, ended);
  if (outcome != FrameOutcome::kScored) note_fault(error);
  if (outcome == FrameOutcome::kFault && restartable_ != nullptr) (void)supervise(lock);
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
    ++heartbeat_;
    if (const std::optional<std::size_t> frame = next_frame()) {
      if (const std::optional<Job> job = take_job(*frame)) run_job(*job, lock);
      progress_.notify_all();
    } else if (!ready_) {
      recover(lock);
    } else {
      time_->wait_until(work_, lock, time_->now() + kIdleWake);
      if (restartable_ == nullptr || next_frame().has_value() || stop_) continue;
      if (const Status status = supervise(lock); !status.ok()) note_fault(status);
    }
  }
}

}  // namespace vialsight
