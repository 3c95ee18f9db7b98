// TimeSource: the clock of the Inspector, injected so that tests decide what time it is.
//
// Waiting belongs to it, because a deadline is a moment of this clock and of no other.
#pragma once

#include <condition_variable>
#include <mutex>

#include "vialsight/clock.h"

namespace vialsight {

// Thread-safe.
class TimeSource {
 public:
  TimeSource() = default;
  TimeSource(const TimeSource&) = delete;
  TimeSource& operator=(const TimeSource&) = delete;
  virtual ~TimeSource() = default;

  [[nodiscard]] virtual Clock::time_point now() const noexcept = 0;
  // Waits until `changed` is notified or it is `until`; may return earlier. time_point::max() means no limit.
  virtual void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                          Clock::time_point until) = 0;
};

class SteadyTimeSource final : public TimeSource {
 public:
  [[nodiscard]] Clock::time_point now() const noexcept override { return Clock::now(); }
  void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                  Clock::time_point until) override {
    if (until == Clock::time_point::max()) {
      changed.wait(lock);
    } else {
      changed.wait_until(lock, until);
    }
  }
};

[[nodiscard]] inline double seconds(Clock::duration duration) noexcept {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace vialsight
