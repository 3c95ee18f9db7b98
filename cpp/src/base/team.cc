#include "base/team.h"

namespace vialsight {

Team::Team(std::size_t members) {
  try {
    for (std::size_t member = 1; member < members; ++member) threads_.emplace_back([this, member] { help(member); });
  } catch (...) {
    end();
    throw;
  }
}

Team::~Team() { end(); }

void Team::end() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  begin_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Team::take_tasks(std::size_t member) noexcept {
  for (std::size_t task = next_++; task < tasks_; task = next_++) call_.function(call_.self, task, member);
}

void Team::run_all(std::size_t tasks, Call call) noexcept {
  if (threads_.empty() || tasks < 2) {
    for (std::size_t task = 0; task < tasks; ++task) call.function(call.self, task, 0);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    call_ = call;
    tasks_ = tasks;
    next_ = 0;
    busy_ = threads_.size();
    ++round_;
  }
  begin_.notify_all();
  take_tasks(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
}

void Team::help(std::size_t member) noexcept {
  std::uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    begin_.wait(lock, [&] { return stop_ || round_ != seen; });
    if (stop_) return;
    seen = round_;
    lock.unlock();
    take_tasks(member);
    lock.lock();
    if (--busy_ == 0) done_.notify_one();
  }
}

}  // namespace vialsight
