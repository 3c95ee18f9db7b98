#include "vialsight/inspector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <type_traits>

#include "inspector_fixture.h"

namespace vialsight::test {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr Clock::time_point kNoDeadline = Clock::time_point::max();

static_assert(!std::is_copy_constructible_v<Inspector>);
static_assert(std::is_nothrow_move_constructible_v<Inspector>);

TEST_F(InspectorTest, AcceptsAStripWithoutDefects) {
  Inspector inspector = create();
  const StripVerdict verdict = inspect_good(inspector, 42, after(milliseconds(500)));
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_EQ(verdict.reason, Reason::kNone);
  EXPECT_EQ(verdict.strip_id, 42U);
  ASSERT_THAT(verdict.scores, SizeIs(8));
  for (const float score : verdict.scores) EXPECT_NEAR(score, 0.0F, 1e-7F);
  EXPECT_THAT(verdict.thresholds, ElementsAre(0.25, 0.25));
  EXPECT_THAT(verdict.vials, ElementsAre(Verdict::kAccept, Verdict::kAccept));
}

TEST_F(InspectorTest, AcceptsWithoutADeadline) {
  Inspector inspector = create();
  const StripVerdict verdict = inspect_good(inspector, 1, kNoDeadline);
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  EXPECT_EQ(verdict.slack_s, std::numeric_limits<double>::infinity());
}

TEST_F(InspectorTest, AcceptsFramesInAnyOrder) {
  Inspector inspector = create();
  const TestFrame frame;
  ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
  ASSERT_TRUE(inspector.submit(1, frame.view()).ok());
  ASSERT_TRUE(inspector.submit(0, frame.view()).ok());
  EXPECT_EQ(inspector.close().verdict, Verdict::kAccept);
}

TEST_F(InspectorTest, CopiesTheFrameAndHonoursItsStride) {
  Inspector inspector = create();
  std::vector<unsigned char> wide(64 * 30);
  for (std::size_t i = 0; i < wide.size(); ++i) wide[i] = static_cast<unsigned char>(i % 64);
  const FrameView view{wide.data(), 40, 30, 64, PixelFormat::kGray8};
  ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
  ASSERT_TRUE(inspector.submit(0, view).ok());
  ASSERT_TRUE(inspector.submit(1, view).ok());
  std::fill(wide.begin(), wide.end(), kDefectMarker);
  EXPECT_EQ(inspector.close().verdict, Verdict::kAccept);
}

TEST_F(InspectorTest, RejectsADefectAndNamesItsVial) {
  Inspector inspector = create();
  const TestFrame good;
  const TestFrame bad = TestFrame().mark(20, 15, kDefectMarker);  // vial 1, region 1
  const std::array<FrameView, 2> frames = {good.view(), bad.view()};
  const StripVerdict verdict = inspector.inspect(7, frames, kNoDeadline);
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.reason, Reason::kDefect);
  EXPECT_THAT(verdict.vials, ElementsAre(Verdict::kAccept, Verdict::kReject));
  EXPECT_GT(verdict.scores[1 * 4 + 1 * 2 + 1], 0.25F);
  for (std::size_t i = 0; i < 7; ++i) EXPECT_NEAR(verdict.scores[i], 0.0F, 1e-7F);
}

TEST_F(InspectorTest, RejectsAScoreThatIsNotANumber) {
  Inspector inspector = create();
  const TestFrame good;
  const TestFrame bad = TestFrame().mark(0, 0, kNanMarker);
  const std::array<FrameView, 2> frames = {bad.view(), good.view()};
  const StripVerdict verdict = inspector.inspect(7, frames, kNoDeadline);
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.reason, Reason::kScoreInvalid);
  EXPECT_TRUE(std::isnan(verdict.scores[0]));
  EXPECT_THAT(verdict.vials, ElementsAre(Verdict::kReject, Verdict::kAccept));
}

TEST_F(InspectorTest, RejectsWhenTheBackendFailsAndRecovers) {
  Inspector inspector = create();
  script->fails = true;
  const StripVerdict verdict = inspect_good(inspector, 1, kNoDeadline);
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.reason, Reason::kBackendFault);
  EXPECT_THAT(verdict.vials, Each(Verdict::kReject));
  script->fails = false;
  EXPECT_EQ(inspect_good(inspector, 2, kNoDeadline).verdict, Verdict::kAccept);
}

TEST_F(InspectorTest, RejectsAMissingFrame) {
  Inspector inspector = create();
  const TestFrame frame;
  ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
  ASSERT_TRUE(inspector.submit(0, frame.view()).ok());
  const StripVerdict verdict = inspector.close();
  EXPECT_EQ(verdict.reason, Reason::kFrameMissing);
  EXPECT_THAT(verdict.vials, Each(Verdict::kReject));
  EXPECT_NEAR(verdict.scores[0], 0.0F, 1e-7F);
  EXPECT_TRUE(std::isnan(verdict.scores[4]));
}

TEST_F(InspectorTest, RejectsAStripWithoutFrames) {
  Inspector inspector = create();
  ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
  EXPECT_EQ(inspector.close().reason, Reason::kFrameMissing);
}

// Each refused frame rejects its strip even though all good frames are there.
class RefusedFrameTest : public InspectorTest {
 protected:
  void expect_refused(int index, const FrameView& frame, Code code, const char* text) {
    Inspector inspector = create();
    const TestFrame good;
    ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
    ASSERT_TRUE(inspector.submit(0, good.view()).ok());
    const Status status = inspector.submit(index, frame);
    EXPECT_EQ(status.code(), code);
    EXPECT_THAT(status.message(), HasSubstr(text));
    (void)inspector.submit(1, good.view());
    const StripVerdict verdict = inspector.close();
    EXPECT_EQ(verdict.verdict, Verdict::kReject);
    EXPECT_EQ(verdict.reason, Reason::kFrameInvalid);
    EXPECT_THAT(verdict.vials, Each(Verdict::kReject));
    EXPECT_EQ(inspect_good(inspector, 2, kNoDeadline).verdict, Verdict::kAccept);
  }
  TestFrame frame_;
};

TEST_F(RefusedFrameTest, Duplicate) {
  expect_refused(0, frame_.view(), Code::kFailedPrecondition, "frame 0 of strip 1 was submitted before");
}
TEST_F(RefusedFrameTest, IndexTooLarge) {
  expect_refused(2, frame_.view(), Code::kInvalidArgument, "frame index from 0 to 1, got 2");
}
TEST_F(RefusedFrameTest, NegativeIndex) { expect_refused(-1, frame_.view(), Code::kInvalidArgument, "got -1"); }
TEST_F(RefusedFrameTest, WrongSize) {
  FrameView view = frame_.view();
  view.width = 39;
  expect_refused(1, view, Code::kInvalidArgument, "");
}
TEST_F(RefusedFrameTest, WrongFormat) {
  FrameView view = frame_.view();
  view.format = PixelFormat::kGray16;
  expect_refused(1, view, Code::kInvalidArgument, "");
}
TEST_F(RefusedFrameTest, NoPixels) {
  FrameView view = frame_.view();
  view.data = nullptr;
  expect_refused(1, view, Code::kInvalidArgument, "");
}

TEST_F(InspectorTest, RejectsAFrameWithPixelsAboveItsBitDepth) {
  Layout layout = small_layout();
  layout.bit_depth = 12;
  writer = BundleWriter(layout);
  Inspector inspector = create();
  std::vector<std::uint16_t> pixels(40 * 30, 1000);
  for (std::size_t i = 0; i < pixels.size(); i += 3) pixels[i] = 900;
  const FrameView view{pixels.data(), 40, 30, 80, PixelFormat::kGray16};
  std::array<FrameView, 2> frames = {view, view};
  EXPECT_EQ(inspector.inspect(1, frames, kNoDeadline).verdict, Verdict::kAccept);
  pixels[5] = 4096;
  EXPECT_EQ(inspector.inspect(2, frames, kNoDeadline).reason, Reason::kFrameInvalid);
}

TEST_F(InspectorTest, RejectsTooManyFrames) {
  Inspector inspector = create();
  const TestFrame frame;
  const std::vector<FrameView> frames(3, frame.view());
  EXPECT_EQ(inspector.inspect(1, frames, kNoDeadline).reason, Reason::kFrameInvalid);
}

TEST_F(InspectorTest, RefusesToOpenTwiceAndRejectsTheOpenSlot) {
  Inspector inspector = create();
  const TestFrame frame;
  ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
  const Status status = inspector.open(2, kNoDeadline);
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("strip 1 is still open"));
  EXPECT_EQ(inspect_good(inspector, 3, kNoDeadline).reason, Reason::kNotReady);
  ASSERT_TRUE(inspector.submit(0, frame.view()).ok());
  ASSERT_TRUE(inspector.submit(1, frame.view()).ok());
  const StripVerdict verdict = inspector.close();
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.reason, Reason::kFrameStale);
  EXPECT_EQ(verdict.strip_id, 1U);
  EXPECT_EQ(inspect_good(inspector, 4, kNoDeadline).verdict, Verdict::kAccept);
}

TEST_F(InspectorTest, RejectsAsNotReadyWithoutAnOpenSlot) {
  Inspector inspector = create();
  const StripVerdict verdict = inspector.close();
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.reason, Reason::kNotReady);
  EXPECT_THAT(verdict.vials, ElementsAre(Verdict::kReject, Verdict::kReject));
  EXPECT_THAT(verdict.scores, SizeIs(8));
}

TEST_F(InspectorTest, RefusesToSubmitAfterClose) {
  Inspector inspector = create();
  const TestFrame frame;
  EXPECT_EQ(inspector.submit(0, frame.view()).code(), Code::kFailedPrecondition);
  (void)inspect_good(inspector, 1, kNoDeadline);
  EXPECT_EQ(inspector.submit(0, frame.view()).code(), Code::kFailedPrecondition);
}

TEST_F(InspectorTest, CountsEveryVerdict) {
  Inspector inspector = create();
  script->set_cost(milliseconds(10));
  const TestFrame good;
  const TestFrame bad = TestFrame().mark(0, 0, kDefectMarker);
  const std::array<FrameView, 2> defective = {good.view(), bad.view()};
  (void)inspect_good(inspector, 1, kNoDeadline);
  (void)inspect_good(inspector, 2, kNoDeadline);
  (void)inspector.inspect(3, defective, kNoDeadline);
  (void)inspector.inspect(4, std::span(defective).first(1), kNoDeadline);
  (void)inspector.close();
  const Statistics statistics = inspector.statistics();
  EXPECT_EQ(statistics.strips, 5U);
  EXPECT_EQ(statistics.accepted, 2U);
  EXPECT_THAT(statistics.rejected, ElementsAre(0, 1, 0, 1, 0, 0, 0, 1, 0, 0));
  EXPECT_EQ(statistics.overruns, 0U);
  EXPECT_DOUBLE_EQ(statistics.batch_cost_s, 0.010);
}

TEST_F(InspectorTest, ReportsTimesOfItsClock) {
  Inspector inspector = create();
  script->set_cost(milliseconds(10));
  const TestFrame frame;
  ASSERT_TRUE(inspector.open(1, after(milliseconds(100))).ok());
  clock->advance(milliseconds(3));
  ASSERT_TRUE(inspector.submit(0, frame.view()).ok());
  while (inspector.statistics().batch_cost_s < 0.010) std::this_thread::yield();  // until the first batch has ended
  ASSERT_TRUE(inspector.submit(1, frame.view()).ok());
  const StripVerdict verdict = inspector.close();
  EXPECT_DOUBLE_EQ(verdict.times.infer_s, 0.020);
  EXPECT_DOUBLE_EQ(verdict.times.extract_s, 0.0);
  EXPECT_DOUBLE_EQ(verdict.times.score_s, 0.0);
  EXPECT_DOUBLE_EQ(verdict.times.total_s, 0.023);
  EXPECT_DOUBLE_EQ(verdict.times.after_last_frame_s, 0.010);
  EXPECT_NEAR(verdict.slack_s, 0.077, 1e-9);
}

TEST_F(InspectorTest, GivesTheImagesOfTheStripClosedLast) {
  Inspector inspector = create();
  EXPECT_FALSE(inspector.images(0, 0, 0).has_value());
  const TestFrame good;
  const TestFrame bad = TestFrame(50).mark(20, 0, kDefectMarker);  // vial 1, region 0
  const std::array<FrameView, 2> frames = {good.view(), bad.view()};
  (void)inspector.inspect(1, frames, kNoDeadline);
  const auto images = inspector.images(1, 1, 0);
  ASSERT_TRUE(images.has_value());
  ASSERT_EQ(images->input.size(), 144U);
  ASSERT_EQ(images->reconstruction.size(), 144U);
  EXPECT_FLOAT_EQ(images->input[0], 1.0F);
  EXPECT_FLOAT_EQ(images->input[1], 50.0F / 255.0F);
  EXPECT_FLOAT_EQ(images->reconstruction[1], 205.0F / 255.0F);
  EXPECT_FALSE(inspector.images(2, 0, 0).has_value());
  EXPECT_FALSE(inspector.images(0, -1, 0).has_value());
  EXPECT_FALSE(inspector.images(0, 0, 2).has_value());
  ASSERT_TRUE(inspector.open(2, kNoDeadline).ok());
  EXPECT_FALSE(inspector.images(1, 1, 0).has_value());
  (void)inspector.close();
  EXPECT_FALSE(inspector.images(1, 1, 0).has_value());
}

TEST_F(InspectorTest, AMovedFromInspectorOnlyRefuses) {
  Inspector inspector = create();
  Inspector other = std::move(inspector);
  // NOLINTBEGIN(bugprone-use-after-move): that is the subject
  EXPECT_EQ(inspector.open(1, kNoDeadline).code(), Code::kFailedPrecondition);
  EXPECT_EQ(inspector.submit(0, TestFrame().view()).code(), Code::kFailedPrecondition);
  EXPECT_EQ(inspector.close().reason, Reason::kNotReady);
  EXPECT_EQ(inspector.inspect(3, {}, kNoDeadline).strip_id, 3U);
  EXPECT_EQ(inspector.score_patches({}, {}, 0, {}).code(), Code::kFailedPrecondition);
  EXPECT_FALSE(inspector.images(0, 0, 0).has_value());
  EXPECT_EQ(inspector.map(0, 0, 0, {}).code(), Code::kFailedPrecondition);
  EXPECT_EQ(inspector.statistics().strips, 0U);
  EXPECT_EQ(inspector.bundle().name(), "");
  // NOLINTEND(bugprone-use-after-move)
  EXPECT_EQ(inspect_good(other, 1, kNoDeadline).verdict, Verdict::kAccept);
  other = create();
  EXPECT_EQ(inspect_good(other, 2, kNoDeadline).verdict, Verdict::kAccept);
}

TEST_F(InspectorTest, ItsDestructorEndsTheBackend) {
  { const Inspector inspector = create(); }
  EXPECT_FALSE(script->alive);
}

TEST_F(InspectorTest, ItsDestructorWaitsForARunningBatch) {
  std::thread release;
  {
    Inspector inspector = create();
    script->held = true;
    ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
    ASSERT_TRUE(inspector.submit(0, TestFrame().view()).ok());
    script->wait_for_batch(kWarmUpBatches + kGoldenBatches + 1);
    release = std::thread([this] {
      std::this_thread::sleep_for(milliseconds(20));
      script->held = false;
    });
  }
  EXPECT_EQ(script->ended, kWarmUpBatches + kGoldenBatches + 1);
  EXPECT_FALSE(script->alive);
  release.join();
}

}  // namespace
}  // namespace vialsight::test
