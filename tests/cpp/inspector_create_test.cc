// What must hold before an Inspector exists, and score_patches.
#include "inspector/inspector_create.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "inspector_fixture.h"
#include "ordered_backend.h"

namespace vialsight::test {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

class InspectorCreateTest : public InspectorTest {
 protected:
  void expect_error(Code code, const char* text) {
    const Result<Inspector> inspector = try_create();
    ASSERT_FALSE(inspector.ok());
    EXPECT_EQ(inspector.status().code(), code);
    EXPECT_THAT(inspector.status().message(), HasSubstr(text));
    EXPECT_FALSE(script->alive);
  }
};

TEST_F(InspectorCreateTest, WarmsUpAndChecksGoldenPatchesAtTheLinesBatchSize) {
  const Inspector inspector = create();
  EXPECT_EQ(script->entered, kWarmUpBatches + kGoldenBatches);
  EXPECT_EQ(script->last_count, small_layout().patches_per_frame());
}

TEST_F(InspectorCreateTest, TellsTheBackendWhatToRun) {
  options.threads = 3;
  const Bundle bundle = load_bundle().value();
  const BackendOptions backend = backend_options(bundle, options.threads);
  EXPECT_EQ(backend.threads, 3);
  EXPECT_EQ(backend.patch_size, 12);
  EXPECT_THAT(backend.batches,
              ::testing::ElementsAre(small_layout().patches_per_frame(), small_layout().region_count()));
  EXPECT_EQ(backend.precision, Precision::kFloat32);
  EXPECT_EQ(backend.model, bundle.model().data());
  EXPECT_EQ(backend.model_size, bundle.model().size());
  EXPECT_EQ(backend.input_name, bundle.input_name());
  ASSERT_EQ(backend.outputs.size(), 1U);
  EXPECT_EQ(backend.outputs[0].name, "reconstruction");
  EXPECT_EQ(backend.outputs[0].role, OutputRole::kReconstruction);
  EXPECT_EQ(backend.outputs[0].height, 12);
  EXPECT_EQ(backend.outputs[0].width, 12);
}

TEST_F(InspectorCreateTest, MeasuresTheCostOfABatch) {
  script->set_cost(milliseconds(30));
  const Inspector inspector = create();
  EXPECT_NEAR(inspector.statistics().batch_cost_s, 0.030, 1e-9);
}

TEST_F(InspectorCreateTest, RefusesGoldenScoresThatDiffer) {
  std::vector<float> scores(16, 0.0F);
  scores[10] = 2e-5F;  // twice the tolerance
  writer.set_golden_scores(scores);
  expect_error(Code::kDataCorrupt, "patch 2 of region \"bottom\"");
}

TEST_F(InspectorCreateTest, ToleratesGoldenScoresThatDifferLess) {
  std::vector<float> scores(16, 0.0F);
  scores[10] = 0.9e-5F;
  writer.set_golden_scores(scores);
  EXPECT_TRUE(try_create().ok());
}

TEST_F(InspectorCreateTest, RefusesAnotherModelThanTheGoldenOne) {
  std::vector<float> inputs(16 * 144, 0.1F);
  inputs[15 * 144] = 1.0F;  // the fake backend inverts this one
  writer.files["golden/inputs.npy"] = npy({2, kGoldenPerRegion, 12, 12}, inputs);
  expect_error(Code::kDataCorrupt, "patch 7 of region \"bottom\"");
}

TEST_F(InspectorCreateTest, RefusesGoldenScoresThatAreNotANumber) {
  std::vector<float> inputs(16 * 144, 0.1F);
  inputs[0] = static_cast<float>(kNanMarker) / 255.0F;
  writer.files["golden/inputs.npy"] = npy({2, kGoldenPerRegion, 12, 12}, inputs);
  expect_error(Code::kDataCorrupt, "nan");
}

TEST_F(InspectorCreateTest, RefusesABackendThatFails) {
  script->fails = true;
  expect_error(Code::kBackendFault, "told to");
}

TEST_F(InspectorCreateTest, RefusesABundleWithoutThresholds) {
  writer.remove_calibration();
  expect_error(Code::kFailedPrecondition, "no thresholds for level strip; run: vialsight calibrate");
}

TEST_F(InspectorCreateTest, RefusesALevelWithoutThresholds) {
  writer.manifest["thresholds"]["run"] = nullptr;
  options.level = Level::kRun;
  expect_error(Code::kFailedPrecondition, "no thresholds for level run");
}

TEST_F(InspectorCreateTest, RefusesAnUnknownLevel) {
  options.level = static_cast<Level>(3);
  expect_error(Code::kInvalidArgument, "level");
}

TEST_F(InspectorCreateTest, RefusesNegativeThreads) {
  options.threads = -1;
  expect_error(Code::kInvalidArgument, "threads: expected 0 (one per core) to 1024, got -1");
}

TEST_F(InspectorCreateTest, RefusesANegativeMargin) {
  options.margin = std::chrono::microseconds(-1);
  expect_error(Code::kInvalidArgument, "margin");
}

TEST_F(InspectorCreateTest, RefusesAMarginLongerThanAnySlot) {
  options.margin = std::chrono::microseconds::max();
  expect_error(Code::kInvalidArgument, "margin");
}

TEST_F(InspectorCreateTest, TakesTheLargestAndSmallestOptions) {
  options.threads = 1024;
  options.margin = std::chrono::seconds(10);
  options.worker.batch_timeout = std::chrono::hours(1);
  EXPECT_TRUE(try_create().ok());
  options.threads = 0;
  options.margin = std::chrono::microseconds(0);
  options.worker.batch_timeout = std::chrono::milliseconds(1);
  EXPECT_TRUE(try_create().ok());
}

TEST_F(InspectorCreateTest, RefusesMoreThreadsThanAnyMachineHas) {
  options.threads = 1025;
  expect_error(Code::kInvalidArgument, "threads: expected 0 (one per core) to 1024, got 1025");
}

TEST_F(InspectorCreateTest, RefusesADeviceThatIsNone) {
  for (const char* name : {"gpu", "gpu:", "gpu:x", "gpu:100", "GPU:0", "cpu:0", " "}) {
    options.device = name;
    expect_error(Code::kInvalidArgument, "device: expected \"cpu\", \"gpu:0\"");
  }
}

TEST_F(InspectorCreateTest, RefusesAnUnknownIsolation) {
  options.isolation = static_cast<Isolation>(2);
  expect_error(Code::kInvalidArgument, "isolation: expected kInProcess or kWorker, got 2");
}

TEST_F(InspectorCreateTest, RefusesABatchTimeoutOfNothing) {
  options.worker.batch_timeout = std::chrono::milliseconds(0);
  expect_error(Code::kInvalidArgument, "batch_timeout: expected 1 ms to 1 h, got 0 ms");
}

TEST_F(InspectorCreateTest, RefusesAStartTimeoutLongerThanAnyStart) {
  options.worker.start_timeout = std::chrono::hours(1) + milliseconds(1);
  expect_error(Code::kInvalidArgument, "start_timeout: expected 1 ms to 1 h, got 3600001 ms");
}

TEST_F(InspectorCreateTest, RefusesABackendThatFailsOnTheGoldenPatches) {
  const auto jumping_clock = std::make_shared<JumpingClock>();
  const auto orders = std::make_shared<BackendOrders>(jumping_clock);
  orders->begin_strip({Behaviour::kError, kWarmUpBatches, 0, {}});
  const Result<Inspector> inspector = InspectorAccess::create(
      load_bundle().value(), options, std::make_unique<OrderedBackend>(orders, 144), jumping_clock);
  ASSERT_FALSE(inspector.ok());
  EXPECT_EQ(inspector.status().code(), Code::kBackendFault);
  EXPECT_THAT(inspector.status().message(), HasSubstr("golden patches: told to fail"));
}

TEST_F(InspectorCreateTest, WithoutThresholdsOnlyScores) {
  writer.remove_calibration();
  options.require_thresholds = false;
  Inspector inspector = create();
  EXPECT_EQ(inspector.open(1, Clock::time_point::max()).code(), Code::kFailedPrecondition);
  const StripVerdict verdict = inspect_good(inspector, 5, Clock::time_point::max());
  EXPECT_EQ(verdict.reason, Reason::kNotReady);
  EXPECT_EQ(verdict.strip_id, 5U);
  std::vector<float> scores(1, 9.0F);
  EXPECT_TRUE(inspector.score_patches(std::vector<float>(144, 0.5F), {}, 0, {scores, {}, {}}).ok());
  EXPECT_NEAR(scores[0], 0.0F, 1e-7F);
}

TEST_F(InspectorCreateTest, ReportsAMissingBackendModule) {
  options.backend_module = "/nonexistent/module.so";
  const Result<Inspector> inspector = Inspector::create(load_bundle().value(), options);
  EXPECT_EQ(inspector.status().code(), Code::kNotFound);
  EXPECT_THAT(inspector.status().message(), HasSubstr("/nonexistent/module.so"));
}

// Patch i of 10 is inverted by the fake backend when i is 3 or 9.
class ScorePatchesTest : public InspectorTest {
 protected:
  ScorePatchesTest() : patches_(10 * 144, 0.1F), scores_(10, 9.0F) {
    patches_[3 * 144] = 1.0F;
    patches_[9 * 144] = 1.0F;
  }
  void expect_scores() const {
    for (std::size_t i = 0; i < scores_.size(); ++i) {
      if (i == 3 || i == 9) {
        EXPECT_GT(scores_[i], 0.5F);
      } else {
        EXPECT_NEAR(scores_[i], 0.0F, 1e-7F);
      }
    }
  }
  static Status score(Inspector& inspector, std::span<const float> patches, std::span<float> scores) {
    return inspector.score_patches(patches, {}, 0, {scores, {}, {}});
  }
  std::vector<float> patches_;
  std::vector<float> scores_;
};

TEST_F(ScorePatchesTest, ScoresInBatchesOfOneFrame) {
  Inspector inspector = create();
  const int before = script->entered;
  ASSERT_TRUE(score(inspector, patches_, scores_).ok());
  expect_scores();
  EXPECT_EQ(script->entered - before, 3);
  EXPECT_EQ(script->last_count, 2U);
}

TEST_F(ScorePatchesTest, ScoresInBatchesOfAnySize) {
  Inspector inspector = create();
  for (const std::size_t batch : {1U, 7U, 10U, 1000U}) {
    std::fill(scores_.begin(), scores_.end(), 9.0F);
    ASSERT_TRUE(inspector.score_patches(patches_, {}, batch, {scores_, {}, {}}).ok());
    expect_scores();
  }
}

TEST_F(ScorePatchesTest, GivesTheReconstructions) {
  Inspector inspector = create();
  std::vector<float> reconstructions(patches_.size());
  const std::span<float> outputs[] = {reconstructions};
  ASSERT_TRUE(inspector.score_patches(patches_, {}, 4, {scores_, {}, outputs}).ok());
  EXPECT_FLOAT_EQ(reconstructions[0], 0.1F);
  EXPECT_FLOAT_EQ(reconstructions[9 * 144 + 1], 0.9F);
}

TEST_F(ScorePatchesTest, ScoresNothing) {
  Inspector inspector = create();
  EXPECT_TRUE(inspector.score_patches({}, {}, 0, {}).ok());
}

TEST_F(ScorePatchesTest, RefusesAPartialPatch) {
  Inspector inspector = create();
  const Status status = score(inspector, std::span(patches_).first(143), std::span(scores_).first(1));
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("expected 144 floats per score, got 143 floats for 1 scores"));
}

TEST_F(ScorePatchesTest, RefusesTooFewScores) {
  Inspector inspector = create();
  EXPECT_EQ(score(inspector, patches_, std::span(scores_).first(9)).code(), Code::kInvalidArgument);
}

TEST_F(ScorePatchesTest, RefusesTooLittleRoomForReconstructions) {
  Inspector inspector = create();
  std::vector<float> reconstructions(144);
  const std::span<float> outputs[] = {reconstructions};
  const Status status = inspector.score_patches(patches_, {}, 0, {scores_, {}, outputs});
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("1440 floats for output \"reconstruction\", got 144"));
}

TEST_F(ScorePatchesTest, RefusesWhileASlotIsOpen) {
  Inspector inspector = create();
  ASSERT_TRUE(inspector.open(1, Clock::time_point::max()).ok());
  EXPECT_EQ(score(inspector, patches_, scores_).code(), Code::kFailedPrecondition);
}

TEST_F(ScorePatchesTest, LeavesNoScoresWhenTheBackendFails) {
  Inspector inspector = create();
  script->fails = true;
  EXPECT_EQ(score(inspector, patches_, scores_).code(), Code::kBackendFault);
  EXPECT_TRUE(std::isnan(scores_[0]));
  EXPECT_TRUE(std::isnan(scores_[9]));
}

}  // namespace
}  // namespace vialsight::test
