// A clock that stands still until a test moves it.
#pragma once

#include <atomic>
#include <chrono>

#include "base/time_source.h"

namespace vialsight::test {

class FakeClock final : public TimeSource {
 public:
  [[nodiscard]] Clock::time_point now() const noexcept override { return Clock::time_point(Clock::duration(ticks_)); }
  // Looks again every millisecond of real time: what the waiter does depends on this clock alone.
  void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock, Clock::time_point) override {
    changed.wait_for(lock, std::chrono::milliseconds(1));
  }
  void set(Clock::time_point now) noexcept { ticks_ = now.time_since_epoch().count(); }
  void advance(Clock::duration duration) noexcept { ticks_ += duration.count(); }

 private:
  std::atomic<Clock::rep> ticks_ = std::chrono::duration_cast<Clock::duration>(std::chrono::hours(1)).count();
};

}  // namespace vialsight::test
