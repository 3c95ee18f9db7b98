// A StripSlot of two frames, whose batches end as a test says.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <limits>
#include <vector>

#include "inspector/strip_slot.h"

namespace vialsight::test {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr Clock::time_point kForever = Clock::time_point::max();
inline constexpr nanoseconds kTick{1};
inline constexpr milliseconds kStripMargin{10};

inline Clock::time_point at(nanoseconds since_start) { return Clock::time_point(std::chrono::hours(1)) + since_start; }

// 2 frames, 2 vials, 1 region; open at 0 ms, deadline at 100 ms, limit at 90 ms, threshold 0.5.
class StripSlotTest : public testing::Test {
 protected:
  StripSlotTest() {
    layout.name = "small";
    layout.frames = 2;
    layout.patch_size = 16;
    layout.regions = {"body"};
    layout.boxes.assign(2, {Box{0, 0, 16, 16}});
  }

  [[nodiscard]] StripVerdict blank(std::uint64_t strip_id) const {
    StripVerdict verdict;
    verdict.strip_id = strip_id;
    verdict.scores.assign(layout.patches_per_strip(), kNan);
    verdict.component_scores.assign(2 * verdict.scores.size(), kNan);
    verdict.thresholds = {0.5};
    verdict.vials.assign(layout.vial_count(), Verdict::kReject);
    return verdict;
  }
  void open(bool ready = true, Clock::time_point deadline = at(milliseconds(100))) {
    slot.open(blank(++strips), {at({}), deadline, kStripMargin, ready});
  }
  // The next frame's job, which fits.
  StripSlot::Job take() { return slot.take(true).value(); }
  void finish(const StripSlot::Job& job, FrameOutcome outcome = FrameOutcome::kScored,
              std::array<float, 2> scores = {0.1F, 0.2F}, Clock::time_point ended = at(milliseconds(50))) {
    const std::array<float, 4> components = {scores[0], 7.0F, scores[1], 8.0F};
    slot.finish(job, {outcome, {0.0625, 0.5, 0.25, 0.125}, location, ended, scores, components});
  }
  void submit(std::size_t frame) { (void)slot.submit(frame, at(milliseconds(20))); }
  void submit_both() {
    submit(0);
    submit(1);
  }
  void score_both() {
    submit_both();
    finish(take());
    finish(take());
  }
  StripVerdict close(Clock::time_point now = at(milliseconds(80))) { return slot.close(now, layout); }

  Layout layout;
  StripSlot slot{2};
  Location location;  // of the frames to come
  std::uint64_t strips = 0;
};

inline void expect_rejected(const StripVerdict& verdict, Reason reason) {
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.reason, reason) << name_of(verdict.reason);
  EXPECT_EQ(verdict.vials, std::vector<Verdict>(2, Verdict::kReject));
}

}  // namespace vialsight::test
