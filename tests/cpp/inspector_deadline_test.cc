// Lateness: what counts, what is not started, and what an overrun may not do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "inspector/inspector_cost.h"
#include "inspector_fixture.h"

namespace vialsight::test {
namespace {

using std::chrono::nanoseconds;
using ::testing::Each;

constexpr int kBatchesBefore = kWarmUpBatches + kGoldenBatches;

class InspectorDeadlineTest : public InspectorTest {
 protected:
  // Opens a strip and hands over both frames; the second's batch takes `last_cost`. Both have ended on return, and the
  // worker has noted it: nothing is left to chance.
  void run_strip(Inspector& inspector, Clock::time_point deadline, Clock::duration last_cost) {
    const TestFrame frame;
    ASSERT_TRUE(inspector.open(1, deadline).ok());
    ASSERT_TRUE(inspector.submit(0, frame.view()).ok());
    while (script->ended < kBatchesBefore + 1) std::this_thread::yield();
    script->set_cost(last_cost);
    ASSERT_TRUE(inspector.submit(1, frame.view()).ok());
    while (inspector.statistics().batch_cost_s < seconds(last_cost)) std::this_thread::yield();
  }
};

TEST_F(InspectorDeadlineTest, ABatchThatEndsAtTheLimitCounts) {
  Inspector inspector = create();
  run_strip(inspector, after(milliseconds(100)), milliseconds(98));
  const StripVerdict verdict = inspector.close();
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_NEAR(verdict.slack_s, 0.002, 1e-9);
  EXPECT_EQ(inspector.statistics().overruns, 0U);
}

TEST_F(InspectorDeadlineTest, ABatchThatEndsOneTickLaterDoesNot) {
  Inspector inspector = create();
  run_strip(inspector, after(milliseconds(100)), milliseconds(98) + nanoseconds(1));
  const StripVerdict verdict = inspector.close();
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.reason, Reason::kDeadlineMissed);
  EXPECT_THAT(verdict.vials, Each(Verdict::kReject));
  EXPECT_NEAR(verdict.scores[0], 0.0F, 1e-7F);
  EXPECT_TRUE(std::isnan(verdict.scores[4]));
  EXPECT_EQ(inspector.statistics().overruns, 1U);
}

TEST_F(InspectorDeadlineTest, AVerdictAtTheDeadlineCounts) {
  Inspector inspector = create();
  run_strip(inspector, after(milliseconds(100)), milliseconds(10));
  clock->advance(milliseconds(90));
  const StripVerdict verdict = inspector.close();
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_NEAR(verdict.slack_s, 0.0, 1e-9);
}

TEST_F(InspectorDeadlineTest, AVerdictOneTickAfterTheDeadlineIsAReject) {
  Inspector inspector = create();
  run_strip(inspector, after(milliseconds(100)), milliseconds(10));
  clock->advance(milliseconds(90) + nanoseconds(1));
  const StripVerdict verdict = inspector.close();
  EXPECT_EQ(verdict.reason, Reason::kDeadlineMissed);
  EXPECT_THAT(verdict.vials, Each(Verdict::kReject));
}

TEST_F(InspectorDeadlineTest, ReturnsAtTheLimitWhileABatchHangs) {
  Inspector inspector = create();
  script->held = true;
  ASSERT_TRUE(inspector.open(1, after(milliseconds(100))).ok());
  ASSERT_TRUE(inspector.submit(0, TestFrame().view()).ok());
  ASSERT_TRUE(inspector.submit(1, TestFrame().view()).ok());
  script->wait_for_batch(kBatchesBefore + 1);
  std::thread time([this] {
    std::this_thread::sleep_for(milliseconds(5));
    clock->advance(milliseconds(98));
  });
  const StripVerdict verdict = inspector.close();
  EXPECT_EQ(verdict.reason, Reason::kDeadlineMissed);
  EXPECT_NEAR(verdict.slack_s, 0.002, 1e-9);
  script->held = false;
  time.join();
}

TEST_F(InspectorDeadlineTest, RejectsAtOnceWhenTheDeadlineIsPast) {
  Inspector inspector = create();
  const int before = script->entered;
  EXPECT_EQ(inspect_good(inspector, 1, clock->now() - milliseconds(1)).reason, Reason::kDeadlineMissed);
  EXPECT_EQ(inspect_good(inspector, 2, Clock::time_point::min()).reason, Reason::kDeadlineMissed);
  EXPECT_EQ(script->entered, before);
  EXPECT_EQ(inspect_good(inspector, 3, Clock::time_point::max() - nanoseconds(1)).verdict, Verdict::kAccept);
}

TEST_F(InspectorDeadlineTest, DoesNotStartABatchThatDoesNotFit) {
  script->set_cost(milliseconds(50));
  Inspector inspector = create();
  const int before = script->entered;
  const StripVerdict verdict = inspect_good(inspector, 1, after(milliseconds(51)));  // the margin takes 2 of them
  EXPECT_EQ(verdict.reason, Reason::kDeadlineMissed);
  EXPECT_EQ(script->entered, before);
  EXPECT_EQ(inspector.statistics().overruns, 0U);
  // Two batches, the margin, and one millisecond.
  EXPECT_EQ(inspect_good(inspector, 2, after(milliseconds(103))).verdict, Verdict::kAccept);
}

TEST_F(InspectorDeadlineTest, OneHiccupDoesNotRejectForEver) {
  script->set_cost(milliseconds(10));
  Inspector inspector = create();
  script->set_cost(std::chrono::seconds(10));
  EXPECT_EQ(inspect_good(inspector, 1, after(milliseconds(500))).reason, Reason::kDeadlineMissed);
  while (inspector.statistics().overruns == 0) std::this_thread::yield();
  script->set_cost(milliseconds(10));
  int rejected = 0;
  while (inspect_good(inspector, 2, after(milliseconds(500))).verdict == Verdict::kReject) {
    ASSERT_LT(++rejected, 20);
  }
}

// Strip 1 hangs in the backend past its deadline. What happens to strips 2 and 3 while and after it does?
TEST_F(InspectorDeadlineTest, AnOverrunNeverReachesAnotherStrip) {
  Inspector inspector = create();
  const TestFrame good;
  const TestFrame bad = TestFrame().mark(0, 0, kDefectMarker);
  script->held = true;
  ASSERT_TRUE(inspector.open(1, after(milliseconds(100))).ok());
  ASSERT_TRUE(inspector.submit(0, bad.view()).ok());
  script->wait_for_batch(kBatchesBefore + 1);
  clock->advance(milliseconds(98));
  const StripVerdict first = inspector.close();
  EXPECT_EQ(first.reason, Reason::kFrameMissing);
  EXPECT_FALSE(inspector.images(0, 0, 0).has_value());

  ASSERT_TRUE(inspector.open(2, after(milliseconds(100))).ok());
  ASSERT_TRUE(inspector.submit(0, good.view()).ok());
  ASSERT_TRUE(inspector.submit(1, good.view()).ok());
  clock->advance(milliseconds(98));
  const StripVerdict second = inspector.close();
  EXPECT_EQ(second.reason, Reason::kDeadlineMissed);
  EXPECT_TRUE(std::isnan(second.scores[0]));

  ASSERT_TRUE(inspector.open(3, Clock::time_point::max()).ok());
  ASSERT_TRUE(inspector.submit(0, good.view()).ok());
  ASSERT_TRUE(inspector.submit(1, good.view()).ok());
  script->held = false;
  const StripVerdict third = inspector.close();
  EXPECT_EQ(third.verdict, Verdict::kAccept);
  for (const float score : third.scores) EXPECT_NEAR(score, 0.0F, 1e-7F);

  const Statistics statistics = inspector.statistics();
  EXPECT_EQ(statistics.strips, 3U);
  EXPECT_EQ(statistics.overruns, 1U);
}

TEST(BatchCostTest, TakesAPeakAtOnceAndForgetsItSlowly) {
  BatchCost cost(milliseconds(16));
  cost.measured(milliseconds(32));
  EXPECT_EQ(cost.estimate(), milliseconds(32));
  cost.measured(milliseconds(16));
  EXPECT_EQ(cost.estimate(), milliseconds(31));
}

TEST(BatchCostTest, HalvesItsExcessOverTheSmallestWhenSkipped) {
  BatchCost cost(milliseconds(10));
  cost.measured(milliseconds(50));
  cost.skipped();
  EXPECT_EQ(cost.estimate(), milliseconds(30));
  for (int i = 0; i < 64; ++i) cost.skipped();
  EXPECT_EQ(cost.estimate(), milliseconds(10));
}

TEST(BatchCostTest, FitsUpToTheLastTick) {
  const BatchCost cost(milliseconds(10));
  const Clock::time_point now{std::chrono::hours(1)};
  EXPECT_TRUE(cost.fits(now, now + milliseconds(10)));
  EXPECT_FALSE(cost.fits(now, now + milliseconds(10) - nanoseconds(1)));
  EXPECT_FALSE(cost.fits(now, Clock::time_point::min()));
  EXPECT_TRUE(cost.fits(now, Clock::time_point::max()));
}

}  // namespace
}  // namespace vialsight::test
