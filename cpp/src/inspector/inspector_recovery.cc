// The worker thread's care for a backend that can die: finds it dead, rejects what was in flight, starts it again.
#include <algorithm>
#include <chrono>
#include <new>

#include "inspector/inspector_create.h"
#include "inspector/inspector_impl.h"

namespace vialsight {
namespace {

// After a failed attempt: a worker that cannot start must not keep a core busy, and the line should not wait for long
// once the cause is gone.
constexpr std::chrono::milliseconds kFirstRetry{100};
constexpr std::chrono::seconds kLongestRetry{10};

}  // namespace

void Inspector::Impl::note_fault(const Status& why) noexcept {
  try {
    last_fault_ = why.message();
  } catch (const std::bad_alloc&) {  // the verdict says backend_fault all the same
  }
}

void Inspector::Impl::lose_backend() noexcept {
  ready_ = false;
  retry_at_ = time_->now();
  retry_after_ = kFirstRetry;
  slot_.lose_backend();
  progress_.notify_all();
}

// The lock is released while the backend answers, or does not.
Status Inspector::Impl::supervise(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  Status status = restartable_->check();
  lock.lock();
  if (!status.ok() && !stop_) lose_backend();
  return status;
}

void Inspector::Impl::recover(std::unique_lock<std::mutex>& lock) {
  if (time_->now() < retry_at_) {
    time_->wait_until(work_, lock, retry_at_);
    return;
  }
  lock.unlock();
  const Status restarted = restartable_->restart();
  const Result<BatchCost> cost = restarted.ok() ? prove(bundle_, *pipeline_, *time_) : Result<BatchCost>(restarted);
  lock.lock();
  if (!cost.ok()) {
    note_fault(cost.status());
    retry_at_ = time_->now() + retry_after_;
    retry_after_ = std::min<Clock::duration>(2 * retry_after_, kLongestRetry);
    return;
  }
  cost_ = cost.value();
  ++restarts_;
  ready_ = true;
}

}  // namespace vialsight
