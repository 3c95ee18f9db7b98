// The worker thread: takes the frames of the open slot one by one.
#include <utility>

#include "inspector/inspector_impl.h"

namespace vialsight {
namespace {

// How often the thread wakes with nothing to do: its heartbeat, and the time after which a dead worker is noticed.
constexpr std::chrono::milliseconds kIdleWake{100};
constexpr std::size_t kStripsRemembered = 64;  // longer than any ring of buffers in a camera or its driver

StripBuffers make_buffers(const Bundle& bundle, RestartableBackend* backend, std::size_t set) {
  const PatchShape shape = PatchShape::of(bundle);
  if (backend == nullptr) return StripBuffers(shape);
  const auto half = [set](std::span<float> both) { return both.subspan(set * both.size() / 2, both.size() / 2); };
  const PatchMemory both = backend->memory();
  StripMemory memory{half(both.inputs), {}};
  for (const std::span<float> output : both.outputs) memory.outputs.push_back(half(output));
  return StripBuffers(shape, std::move(memory));
}

}  // namespace

Inspector::Impl::Impl(Parts parts)
    : bundle_(parts.bundle),
      options_(std::move(parts.options)),
      time_(std::move(parts.time)),
      pipeline_(std::move(parts.pipeline)),
      restartable_(parts.restartable),
      sets_{make_buffers(bundle_, restartable_, 0), make_buffers(bundle_, restartable_, 1)},
      recent_(kStripsRemembered * static_cast<std::size_t>(bundle_.layout().frames)),
      slot_(static_cast<std::size_t>(bundle_.layout().frames), bundle_.locator()),
      cost_(parts.cost) {
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

// Nothing when the next frame's batch would not end in time: it is not started.
std::optional<StripSlot::Job> Inspector::Impl::take_job() noexcept {
  const std::optional<StripSlot::Job> job = slot_.take(cost_.fits(time_->now(), slot_.limit()));
  if (job.has_value()) {
    busy_ = set_;
  } else {
    cost_.skipped();
  }
  return job;
}

void Inspector::Impl::run_job(const StripSlot::Job& job, std::unique_lock<std::mutex>& lock) {
  StripBuffers& buffers = sets_[set_];
  lock.unlock();
  FrameReport report;
  const Clock::time_point started = time_->now();
  const FrameOutcome outcome = pipeline_->process(buffers.view(job.frame), buffers.patches(job.frame), report);
  const Clock::time_point ended = time_->now();
  lock.lock();
  busy_.reset();
  if (outcome == FrameOutcome::kScored) cost_.measured(ended - started);
  if (job.is_late(ended)) ++statistics_.overruns;
  if (outcome == FrameOutcome::kNotLocated) ++statistics_.frames_not_located;
  slot_.finish(
      job, {outcome, report.times, report.location, ended, buffers.scores(job.frame), buffers.components(job.frame)});
  if (outcome != FrameOutcome::kScored) note_fault(report.error);
  if (outcome == FrameOutcome::kFault && restartable_ != nullptr) (void)supervise(lock);
}

void Inspector::Impl::work() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    ++heartbeat_;
    if (slot_.has_next()) {
      if (const std::optional<StripSlot::Job> job = take_job()) run_job(*job, lock);
      progress_.notify_all();
    } else if (!ready_) {
      recover(lock);
    } else {
      time_->wait_until(work_, lock, time_->now() + kIdleWake);
      if (restartable_ == nullptr || slot_.has_next() || stop_) continue;
      if (const Status status = supervise(lock); !status.ok()) note_fault(status);
    }
  }
}

}  // namespace vialsight
