// BatchCost: how long the next batch is expected to take, so that one that cannot end in time is not started.
//
// A peak counts at once and fades by a sixteenth of its excess per batch: an estimate that is too low costs a strip and
// delays the next, one that is too high only if the slot is tight. While batches are skipped nothing can be measured;
// each skip then halves the excess over the smallest cost ever seen, so that one hiccup cannot reject strips for ever,
// and nothing is started that was never measured to fit. Guarded by the owner's mutex.
#pragma once

#include <algorithm>

#include "vialsight/inspector.h"

namespace vialsight {

class BatchCost {
 public:
  explicit BatchCost(Clock::duration first) noexcept : estimate_(first), smallest_(first) {}

  void measured(Clock::duration cost) noexcept {
    constexpr int kFading = 16;
    smallest_ = std::min(smallest_, cost);
    estimate_ = std::max(cost, estimate_ - (estimate_ - cost) / kFading);
  }
  void skipped() noexcept { estimate_ = smallest_ + (estimate_ - smallest_) / 2; }
  [[nodiscard]] Clock::duration estimate() const noexcept { return estimate_; }

  // Written so that no deadline can overflow.
  [[nodiscard]] bool fits(Clock::time_point now, Clock::time_point limit) const noexcept {
    return now <= limit && (limit == Clock::time_point::max() || estimate_ <= limit - now);
  }

 private:
  Clock::duration estimate_;
  Clock::duration smallest_;
};

}  // namespace vialsight
