// Inspectors of a bundle that locates: from the frame to pose, patches and verdict.
#include <gmock/gmock.h>

#include <random>
#include <string>
#include <vector>

#include "allocation_counter.h"
#include "inspector_fixture.h"
#include "located_bundle.h"
#include "located_frames.h"

namespace vialsight::test {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsNan;
using ::testing::SizeIs;

constexpr auto kNoDeadline = Clock::time_point::max();
constexpr Pose kHeld{7.3, -4.6, 0.008};

class InspectorLocatedTest : public InspectorTest {
 protected:
  InspectorLocatedTest() { writer = located_bundle(); }

  StripVerdict inspect(Inspector& inspector, const std::vector<Frame8>& frames) {
    return inspector.inspect(++strip_, views_of(frames), kNoDeadline);
  }
  Frame8 frame(const Pose& pose) { return taken(pose, random_); }
  Frame8 blank() { return taken(Picture{320, 256, std::vector<double>(320 * 256, 0.5)}, random_); }
  void expect_refused(const std::string& text) {
    const Result<Inspector> inspector = try_create();
    ASSERT_FALSE(inspector.ok());
    EXPECT_EQ(inspector.status().code(), Code::kDataCorrupt) << inspector.status().message();
    EXPECT_THAT(inspector.status().message(), HasSubstr(text));
  }
  // Golden frame 1 is said to lie so much elsewhere.
  void move_golden_pose(const Pose& by) {
    Result<Locator> locator = Locator::create(blot_locator());
    std::vector<float> poses;
    for (std::size_t i = 0; i < kGoldenPoses.size(); ++i) {
      const Pose found = locator.value().locate_reduced(reduced_blots(kGoldenPoses[i], 2)).value().pose;
      const double scale = i == 1 ? 1.0 : 0.0;
      for (const double value : {found.dx + scale * by.dx, found.dy + scale * by.dy, found.turn + scale * by.turn}) {
        poses.push_back(static_cast<float>(value));
      }
    }
    writer.files["locator/golden_poses.npy"] = npy({kGoldenPoses.size(), 3}, poses);
  }

 private:
  std::mt19937 random_{5};
  std::uint64_t strip_ = 0;
};

TEST_F(InspectorLocatedTest, AcceptsAndSaysWhereTheProductLies) {
  Inspector inspector = create();
  const StripVerdict verdict = inspect(inspector, {frame(kHeld), frame(kHeld)});
  EXPECT_EQ(verdict.verdict, Verdict::kAccept) << name_of(verdict.reason) << ": " << inspector.health().last_fault;
  ASSERT_THAT(verdict.locations, SizeIs(2));
  for (const Location& location : verdict.locations) {
    EXPECT_TRUE(location.found);
    EXPECT_NEAR(location.pose.dx, kHeld.dx, 0.05);
    EXPECT_NEAR(location.pose.dy, kHeld.dy, 0.05);
    EXPECT_NEAR(location.pose.turn, kHeld.turn, 0.0005);
  }
  EXPECT_EQ(inspector.statistics().frames_not_located, 0U);
}

TEST_F(InspectorLocatedTest, PatchesAreCutWhereTheProductLies) {
  Inspector inspector = create();
  const std::vector<Frame8> frames = {frame(kHeld), frame(kHeld)};
  const StripVerdict verdict = inspect(inspector, frames);
  const auto extractor = PatchExtractor::create(inspector.bundle().layout());
  std::vector<float> patches(4 * 48 * 48);
  std::vector<float> scratch(extractor.value().scratch_size());
  ASSERT_TRUE(extractor.value().extract(frames[1].view(), verdict.locations.at(1).pose, patches, scratch).ok());
  const auto images = inspector.images(1, 1, 0);
  ASSERT_TRUE(images.has_value());
  EXPECT_TRUE(std::equal(images->input.begin(), images->input.end(), patches.begin() + 2 * 48 * 48));
}

TEST_F(InspectorLocatedTest, WhereThereIsNoProductNothingIsScored) {
  Inspector inspector = create();
  const int before = script->entered;
  const StripVerdict verdict = inspect(inspector, {frame(kHeld), blank()});
  EXPECT_EQ(verdict.verdict, Verdict::kReject);
  EXPECT_EQ(verdict.reason, Reason::kNotLocated);
  EXPECT_EQ(script->entered, before + 1) << "the good frame's batch alone";
  EXPECT_TRUE(verdict.locations.at(0).found);
  EXPECT_FALSE(verdict.locations.at(1).found);
  EXPECT_THAT(std::vector<float>(verdict.scores.begin() + 4, verdict.scores.end()), Each(IsNan()));
  EXPECT_FALSE(inspector.images(1, 0, 0).has_value());
  EXPECT_EQ(inspector.statistics().frames_not_located, 1U);
  EXPECT_EQ(inspector.statistics().rejected[static_cast<int>(Reason::kNotLocated)], 1U);
}

TEST_F(InspectorLocatedTest, SaysWhatWasSeenInPlaceOfTheProduct) {
  Inspector inspector = create();
  const Frame8 another(BlobProduct(2).draw({}), 8);
  EXPECT_EQ(inspect(inspector, {another, another}).reason, Reason::kNotLocated);
  const std::string fault = inspector.health().last_fault;
  for (const char* part :
       {"expected the product", "residual", "of at most 0.01", "dx ", "turn ", "check that it is there"}) {
    EXPECT_THAT(fault, HasSubstr(part));
  }
}

TEST_F(InspectorLocatedTest, FramesThatDisagreeAreRejected) {
  Inspector inspector = create();
  const StripVerdict verdict = inspect(inspector, {frame(kHeld), frame({kHeld.dx + 3.0, kHeld.dy, kHeld.turn})});
  EXPECT_EQ(verdict.reason, Reason::kNotLocated);
  EXPECT_TRUE(verdict.locations.at(0).found && verdict.locations.at(1).found);
  EXPECT_EQ(inspector.statistics().frames_not_located, 0U);
}

TEST_F(InspectorLocatedTest, StripsThatWereNotOpenedWereNotSearched) {
  Inspector inspector = create();
  const StripVerdict verdict = inspector.close();
  ASSERT_THAT(verdict.locations, SizeIs(2));
  EXPECT_EQ(verdict.locations[0].reason, NotFound::kNotSearched);
}

TEST_F(InspectorLocatedTest, ABundleThatLocatesNothingHasNoLocations) {
  writer = BundleWriter();
  Inspector inspector = create();
  const StripVerdict verdict = inspect_good(inspector, 1, kNoDeadline);
  EXPECT_THAT(verdict.locations, IsEmpty());
  EXPECT_EQ(verdict.times.locate_s, 0.0);
}

TEST_F(InspectorLocatedTest, LocatingTakesTimeAndIsPartOfTheCost) {
  const Result<Bundle> bundle = load_bundle();
  auto backend = std::make_unique<FakeBackend>(script, 48, bundle.value().outputs());
  Inspector inspector =
      InspectorAccess::create(bundle.value(), options, std::move(backend), std::make_shared<SteadyTimeSource>())
          .value();
  EXPECT_GT(inspector.statistics().batch_cost_s, 0.0);
  EXPECT_GT(inspect(inspector, {frame(kHeld), frame(kHeld)}).times.locate_s, 0.0);
}

TEST_F(InspectorLocatedTest, AllocatesNothingInTheSlot) {
  Inspector inspector = create();
  const Frame8 held = frame(kHeld);
  const Frame8 moved = frame({kHeld.dx + 3.0, kHeld.dy, kHeld.turn});
  for (const Frame8* second : {&held, &moved}) {
    ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
    start_counting_allocations();
    const bool submitted = inspector.submit(0, held.view()).ok() && inspector.submit(1, second->view()).ok();
    const StripVerdict verdict = inspector.close();
    EXPECT_EQ(stop_counting_allocations(), 0);
    EXPECT_TRUE(submitted);
    EXPECT_EQ(verdict.reason, second == &held ? Reason::kNone : Reason::kNotLocated);
  }
}

TEST_F(InspectorLocatedTest, WarmsUpAndScoresGoldenPatchesAtTheLinesShape) {
  const Inspector inspector = create();
  EXPECT_EQ(script->entered, kWarmUpBatches + kGoldenBatches);
  EXPECT_EQ(script->last_count, 4U);
}

TEST_F(InspectorLocatedTest, GoldenPosesWithinTheToleranceAreTaken) {
  move_golden_pose({9e-4, -9e-4, 0.0});
  EXPECT_TRUE(try_create().ok()) << try_create().status().message();
}

TEST_F(InspectorLocatedTest, RefusesGoldenFramesThatAreLocatedElsewhere) {
  for (const Pose& by : {Pose{1.2e-3, 0.0, 0.0}, Pose{0.0, -1.2e-3, 0.0}, Pose{0.0, 0.0, 1.2e-6}}) {
    move_golden_pose(by);
    expect_refused("golden frames: expected the product of frame 1 at dx 4.0");
  }
}

TEST_F(InspectorLocatedTest, RefusesGoldenFramesThatAreNotLocated) {
  std::vector<float> frames;
  for (const Pose& pose : {kGoldenPoses[0], kGoldenPoses[1], Pose{60.0, 0.0, 0.0}}) {
    const std::vector<float> frame = reduced_blots(pose, 2);
    frames.insert(frames.end(), frame.begin(), frame.end());
  }
  writer.files["locator/golden_frames.npy"] = npy({3, 128, 160}, frames);
  expect_refused("golden frames: expected the product of frame 2");
}

}  // namespace
}  // namespace vialsight::test
