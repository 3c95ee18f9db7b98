#include "inspector/strip_slot.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace vialsight {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr Clock::time_point kForever = Clock::time_point::max();
constexpr nanoseconds kTick{1};
constexpr milliseconds kMargin{10};

Clock::time_point at(nanoseconds since_start) { return Clock::time_point(std::chrono::hours(1)) + since_start; }

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
    slot.open(blank(++strips), {at({}), deadline, kMargin, ready});
  }
  // The next frame's job, which fits.
  StripSlot::Job take() { return slot.take(true).value(); }
  void finish(const StripSlot::Job& job, FrameOutcome outcome = FrameOutcome::kScored,
              std::array<float, 2> scores = {0.1F, 0.2F}, Clock::time_point ended = at(milliseconds(50))) {
    const std::array<float, 4> components = {scores[0], 7.0F, scores[1], 8.0F};
    slot.finish(job, {outcome, {0.5, 0.25, 0.125}, ended, scores, components});
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
  std::uint64_t strips = 0;
};

void expect_rejected(const StripVerdict& verdict, Reason reason) {
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.reason, reason) << name_of(verdict.reason);
  EXPECT_EQ(verdict.vials, std::vector<Verdict>(2, Verdict::kReject));
}

TEST_F(StripSlotTest, AcceptsWhenEveryFrameIsScoredInTime) {
  open();
  score_both();
  EXPECT_FALSE(slot.has_unfinished_frames());
  const StripVerdict verdict = close();
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_EQ(verdict.reason, Reason::kNone);
  EXPECT_EQ(verdict.strip_id, 1U);
  EXPECT_EQ(verdict.scores, (std::vector<float>{0.1F, 0.2F, 0.1F, 0.2F}));
  EXPECT_EQ(verdict.component_scores, (std::vector<float>{0.1F, 7.0F, 0.2F, 8.0F, 0.1F, 7.0F, 0.2F, 8.0F}));
  EXPECT_EQ(verdict.vials, std::vector<Verdict>(2, Verdict::kAccept));
  EXPECT_FALSE(slot.is_open());
}

TEST_F(StripSlotTest, SaysHowLongItTook) {
  open();
  score_both();
  const StripVerdict verdict = close();
  EXPECT_DOUBLE_EQ(verdict.times.extract_s, 1.0);
  EXPECT_DOUBLE_EQ(verdict.times.infer_s, 0.5);
  EXPECT_DOUBLE_EQ(verdict.times.score_s, 0.25);
  EXPECT_DOUBLE_EQ(verdict.times.total_s, 0.08);
  EXPECT_DOUBLE_EQ(verdict.times.after_last_frame_s, 0.06);
  EXPECT_NEAR(verdict.slack_s, 0.02, 1e-9);
}

TEST_F(StripSlotTest, TimesStartAnewWithEachStrip) {
  open();
  score_both();
  (void)close();
  open();
  const StripVerdict verdict = close();
  EXPECT_EQ(verdict.times.extract_s, 0.0);
  EXPECT_EQ(verdict.times.after_last_frame_s, 0.0);
}

TEST_F(StripSlotTest, FramesAreTakenInTheOrderOfSubmission) {
  open();
  EXPECT_FALSE(slot.has_next());
  EXPECT_TRUE(slot.submit(1, at({})));
  EXPECT_TRUE(slot.submit(0, at({})));
  EXPECT_EQ(take().frame, 1U);
  EXPECT_EQ(slot.state(1), FrameState::kRunning);
  EXPECT_EQ(slot.state(0), FrameState::kSubmitted);
  EXPECT_EQ(take().frame, 0U);
  EXPECT_FALSE(slot.has_next());
  EXPECT_TRUE(slot.has_unfinished_frames());
}

TEST_F(StripSlotTest, ScoresGoWhereTheirFrameIs) {
  open();
  submit(1);
  submit(0);
  finish(take(), FrameOutcome::kScored, {0.3F, 0.4F});
  finish(take(), FrameOutcome::kScored, {0.1F, 0.2F});
  EXPECT_EQ(close().scores, (std::vector<float>{0.1F, 0.2F, 0.3F, 0.4F}));
}

TEST_F(StripSlotTest, DefectRejectsItsVialAlone) {
  open();
  submit_both();
  finish(take());
  finish(take(), FrameOutcome::kScored, {0.1F, 0.6F});
  const StripVerdict verdict = close();
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.reason, Reason::kDefect);
  EXPECT_EQ(verdict.vials, (std::vector<Verdict>{Verdict::kAccept, Verdict::kReject}));
}

TEST_F(StripSlotTest, ScoreThatIsNotFiniteIsNamedBeforeADefect) {
  for (const float score : {kNan, kInf, -kInf}) {
    open();
    submit_both();
    finish(take(), FrameOutcome::kScored, {0.6F, 0.1F});
    finish(take(), FrameOutcome::kScored, {0.1F, score});
    expect_rejected(close(), Reason::kScoreInvalid);
  }
}

TEST_F(StripSlotTest, MissingFrame) {
  open();
  submit(1);
  finish(take());
  const StripVerdict verdict = close();
  expect_rejected(verdict, Reason::kFrameMissing);
  EXPECT_TRUE(std::isnan(verdict.scores[0]));
  EXPECT_EQ(verdict.scores[2], 0.1F);
}

TEST_F(StripSlotTest, FaultOfOneFrame) {
  open();
  submit_both();
  finish(take());
  finish(take(), FrameOutcome::kFault);
  const StripVerdict verdict = close();
  expect_rejected(verdict, Reason::kBackendFault);
  EXPECT_TRUE(std::isnan(verdict.scores[2]));
}

TEST_F(StripSlotTest, InvalidFrame) {
  open();
  submit_both();
  finish(take());
  finish(take(), FrameOutcome::kInvalid);
  expect_rejected(close(), Reason::kFrameInvalid);
}

TEST_F(StripSlotTest, FailureThatEndsLateKeepsItsName) {
  open();
  submit_both();
  finish(take());
  finish(take(), FrameOutcome::kInvalid, {}, at(milliseconds(95)));
  EXPECT_EQ(slot.state(1), FrameState::kInvalid);
  expect_rejected(close(), Reason::kFrameInvalid);
}

TEST_F(StripSlotTest, NothingOfAStripWithoutABackendIsScored) {
  open(false);
  EXPECT_FALSE(slot.submit(0, at({})));
  EXPECT_FALSE(slot.has_next());
  EXPECT_FALSE(slot.has_unfinished_frames());
  EXPECT_EQ(slot.state(0), FrameState::kFault);
  expect_rejected(close(), Reason::kNotReady);
}

TEST_F(StripSlotTest, LostBackendTakesTheFramesThatWait) {
  open();
  submit_both();
  const StripSlot::Job running = take();
  slot.lose_backend();
  EXPECT_EQ(slot.state(running.frame), FrameState::kRunning);
  EXPECT_EQ(slot.state(1), FrameState::kFault);
  EXPECT_FALSE(slot.has_next());
  finish(running);
  expect_rejected(close(), Reason::kBackendFault);
}

TEST_F(StripSlotTest, LostBackendRejectsAStripThatIsAllScored) {
  open();
  score_both();
  slot.lose_backend();
  expect_rejected(close(), Reason::kBackendFault);
}

TEST_F(StripSlotTest, LostBackendTakesTheFramesToCome) {
  open();
  slot.lose_backend();
  EXPECT_FALSE(slot.submit(0, at({})));
  EXPECT_EQ(slot.state(0), FrameState::kFault);
}

TEST_F(StripSlotTest, LosingTheBackendBetweenStripsHarmsNone) {
  slot.lose_backend();
  open();
  score_both();
  (void)close();
  slot.lose_backend();
  EXPECT_EQ(slot.state(0), FrameState::kScored);
  open();
  score_both();
  EXPECT_EQ(close().verdict, Verdict::kAccept);
}

// A batch counts that ends at the limit, and not a tick later.
TEST_F(StripSlotTest, BatchAtTheLimit) {
  open();
  submit_both();
  finish(take());
  const StripSlot::Job job = take();
  EXPECT_EQ(job.limit, at(milliseconds(90)));
  EXPECT_FALSE(job.is_late(at(milliseconds(90))));
  finish(job, FrameOutcome::kScored, {0.1F, 0.2F}, at(milliseconds(90)));
  EXPECT_EQ(close().verdict, Verdict::kAccept);
}

TEST_F(StripSlotTest, BatchAfterTheLimit) {
  open();
  submit_both();
  finish(take());
  const StripSlot::Job job = take();
  EXPECT_TRUE(job.is_late(at(milliseconds(90)) + kTick));
  finish(job, FrameOutcome::kScored, {0.1F, 0.2F}, at(milliseconds(90)) + kTick);
  EXPECT_EQ(slot.state(1), FrameState::kLate);
  const StripVerdict verdict = close();
  expect_rejected(verdict, Reason::kDeadlineMissed);
  EXPECT_TRUE(std::isnan(verdict.scores[2]));
}

TEST_F(StripSlotTest, BatchThatDoesNotFitIsNotStarted) {
  open();
  submit_both();
  finish(take());
  EXPECT_FALSE(slot.take(false).has_value());
  EXPECT_EQ(slot.state(1), FrameState::kLate);
  EXPECT_FALSE(slot.has_unfinished_frames());
  expect_rejected(close(), Reason::kDeadlineMissed);
}

TEST_F(StripSlotTest, FrameThatWaitsOrRunsAtCloseIsLate) {
  open();
  submit_both();
  finish(take());
  expect_rejected(close(), Reason::kDeadlineMissed);
  open();
  submit_both();
  finish(take());
  (void)take();
  expect_rejected(close(), Reason::kDeadlineMissed);
}

// A verdict counts at the deadline, and not a tick later.
TEST_F(StripSlotTest, VerdictAtTheDeadline) {
  open();
  score_both();
  const StripVerdict verdict = close(at(milliseconds(100)));
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_EQ(verdict.slack_s, 0.0);
}

TEST_F(StripSlotTest, VerdictAfterTheDeadline) {
  open();
  score_both();
  expect_rejected(close(at(milliseconds(100)) + kTick), Reason::kDeadlineMissed);
}

TEST_F(StripSlotTest, ClockThatRunsBackwards) {
  open();
  score_both();
  EXPECT_EQ(close(at({})).verdict, Verdict::kAccept);
  open();
  score_both();
  expect_rejected(close(at({}) - kTick), Reason::kDeadlineMissed);
}

TEST_F(StripSlotTest, WithoutADeadlineNothingIsLate) {
  open(true, kForever);
  EXPECT_EQ(slot.limit(), kForever);
  submit_both();
  finish(take());
  finish(take(), FrameOutcome::kScored, {0.1F, 0.2F}, kForever);
  const StripVerdict verdict = close(at(std::chrono::hours(24)));
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_EQ(verdict.slack_s, std::numeric_limits<double>::infinity());
}

TEST_F(StripSlotTest, LimitDoesNotWrapAround) {
  const Clock::time_point first = Clock::time_point::min();
  for (const Clock::time_point deadline : {first, first + kMargin - kTick, first + kMargin}) {
    open(true, deadline);
    EXPECT_EQ(slot.limit(), first);
  }
  open(true, first + kMargin + kTick);
  EXPECT_EQ(slot.limit(), first + kTick);
  open(true, kForever - kTick);
  EXPECT_EQ(slot.limit(), kForever - kTick - kMargin);
}

TEST_F(StripSlotTest, ResultOfAnEarlierStripIsDropped) {
  open();
  submit_both();
  const StripSlot::Job earlier = take();
  (void)close();
  finish(earlier);
  EXPECT_EQ(slot.state(0), FrameState::kRunning);
  open();
  finish(earlier);
  EXPECT_EQ(slot.state(0), FrameState::kMissing);
  submit_both();
  finish(take(), FrameOutcome::kScored, {0.3F, 0.4F});
  finish(earlier, FrameOutcome::kFault, {0.9F, 0.9F});
  finish(take(), FrameOutcome::kScored, {0.3F, 0.4F});
  const StripVerdict verdict = close();
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_EQ(verdict.scores, (std::vector<float>{0.3F, 0.4F, 0.3F, 0.4F}));
  EXPECT_DOUBLE_EQ(verdict.times.extract_s, 1.0);
}

TEST_F(StripSlotTest, NeitherFlagNorFrameOutlivesItsStrip) {
  open(false);
  slot.refuse();
  slot.mark_stale();
  slot.lose_backend();
  submit_both();
  (void)close();
  open();
  EXPECT_EQ(slot.state(0), FrameState::kMissing);
  EXPECT_FALSE(slot.has_next());
  score_both();
  EXPECT_EQ(close().verdict, Verdict::kAccept);
}

// All that can go wrong, in the order of decision.h: with everything from one place on gone wrong, that place is named.
TEST_F(StripSlotTest, FirstReasonThatAppliesIsNamed) {
  const std::vector<Reason> order = {Reason::kNotReady,     Reason::kFrameInvalid, Reason::kFrameStale,
                                     Reason::kFrameMissing, Reason::kBackendFault, Reason::kDeadlineMissed,
                                     Reason::kScoreInvalid};
  for (std::size_t first = 0; first < order.size(); ++first) {
    open(first > 0);
    const auto wrong = [&](std::size_t place) { return first <= place; };
    submit(0);
    if (slot.has_next()) finish(take(), FrameOutcome::kScored, {0.6F, kNan});
    if (!wrong(3)) submit(1);
    if (slot.has_next()) finish(take());
    if (wrong(1)) slot.refuse();
    if (wrong(2)) slot.mark_stale();
    if (wrong(4)) slot.lose_backend();
    expect_rejected(close(at(milliseconds(wrong(5) ? 101 : 99))), order[first]);
  }
}

// What a frame has become ranks as the flag of the same reason does.
TEST_F(StripSlotTest, InvalidFrameIsNamedBeforeFaultAndLateness) {
  open();
  submit_both();
  finish(take(), FrameOutcome::kFault);
  finish(take(), FrameOutcome::kInvalid);
  slot.mark_stale();
  expect_rejected(close(at(milliseconds(101))), Reason::kFrameInvalid);
}

TEST_F(StripSlotTest, FaultIsNamedBeforeLateness) {
  open();
  submit_both();
  finish(take(), FrameOutcome::kFault);
  (void)slot.take(false);
  expect_rejected(close(), Reason::kBackendFault);
}

TEST_F(StripSlotTest, ThresholdThatIsMissingAcceptsNothing) {
  StripVerdict verdict = blank(1);
  verdict.thresholds.clear();
  slot.open(std::move(verdict), {at({}), kForever, kMargin, true});
  score_both();
  expect_rejected(close(), Reason::kDefect);
}

}  // namespace
}  // namespace vialsight
