// DeviceClock: when a camera's timestamp was, on our clock.
//
// A frame arrives at its timestamp + what the clocks are apart + what exposure, network and scheduling take, and only
// the last varies: the smallest difference seen is nearest to the truth, and never below it. It is looked for among the
// frames of the last 10 to 20 s, because a camera's crystal drifts by up to 100 ppm, 2 ms in that time. A timestamp
// that jumps back by a second is another clock.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "vialsight/clock.h"

namespace vialsight::station {

class DeviceClock {
 public:
  // When the timestamp of a frame that arrived then was; not later than `arrived`.
  [[nodiscard]] Clock::time_point map(std::chrono::nanoseconds timestamp, Clock::time_point arrived) {
    const Offset offset = arrived.time_since_epoch() - timestamp;
    follow(arrived, offset);
    return Clock::time_point(timestamp + (previous_ ? std::min(*previous_, current_) : current_));
  }

 private:
  using Offset = std::chrono::nanoseconds;
  static constexpr std::chrono::seconds kWindow{10};
  static constexpr std::chrono::seconds kJump{1};

  void follow(Clock::time_point arrived, Offset offset) {
    if (!since_ || arrived - *since_ > 2 * kWindow || offset > current_ + kJump) {
      previous_.reset();
      since_ = arrived;
      current_ = offset;
    } else if (arrived - *since_ > kWindow) {
      previous_ = current_;
      since_ = arrived;
      current_ = offset;
    } else {
      current_ = std::min(current_, offset);
    }
  }

  std::optional<Clock::time_point> since_;  // begin of the window; nothing: no frame yet
  Offset current_{};
  std::optional<Offset> previous_;
};

}  // namespace vialsight::station
