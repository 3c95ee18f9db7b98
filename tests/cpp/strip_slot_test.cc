#include "inspector/strip_slot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "strip_slot_fixture.h"

namespace vialsight::test {
namespace {

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
  EXPECT_DOUBLE_EQ(verdict.times.locate_s, 0.125);
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
  for (const Clock::time_point deadline : {first, first + kStripMargin - kTick, first + kStripMargin}) {
    open(true, deadline);
    EXPECT_EQ(slot.limit(), first);
  }
  open(true, first + kStripMargin + kTick);
  EXPECT_EQ(slot.limit(), first + kTick);
  open(true, kForever - kTick);
  EXPECT_EQ(slot.limit(), kForever - kTick - kStripMargin);
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
  slot.open(std::move(verdict), {at({}), kForever, kStripMargin, true});
  score_both();
  expect_rejected(close(), Reason::kDefect);
}

}  // namespace
}  // namespace vialsight::test
