// Bundles of several outputs and components, from the backend to verdict and map.
#include <gmock/gmock.h>

#include <cmath>

#include "inspector_fixture.h"

namespace vialsight::test {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsNan;
using ::testing::SizeIs;

constexpr auto kNoDeadline = Clock::time_point::max();

// A network with a map of 3×4 besides its reconstruction, and a number per patch; all three components decide.
class InspectorScoreTest : public InspectorTest {
 protected:
  InspectorScoreTest() {
    writer.add_map("spots", 3, 4);
    writer.add_map("total", 1, 1);
    decide({"ssim", "spots", "total"}, "sum");
    writer.set_golden_columns(0.0F, {0.0F, 0.0F, 0.0F});
  }
  void decide(const std::vector<std::string>& names, const nlohmann::json& combine) {
    nlohmann::json& score = writer.manifest["score"];
    score["decide"] = names;
    score["combine"] = combine;
    score["normalisation"] = nullptr;
    if (combine.is_null()) return;
    score["normalisation"] = nlohmann::json::array();
    for (const std::string& name : names) {
      score["normalisation"].push_back(
          {{"component", name}, {"offset", {0.0, 0.0}}, {"scale", {1.0, 4.0}}, {"map_scale", {1.0, 2.0}}});
    }
  }
  // Frame 1's patch of vial 1 and region `region` is marked.
  StripVerdict inspect(Inspector& inspector, int region, unsigned char marker) {
    const TestFrame good;
    const TestFrame marked = TestFrame().mark(20, 15 * region, marker);
    const std::array<FrameView, 2> frames = {good.view(), marked.view()};
    return inspector.inspect(++strip_, frames, kNoDeadline);
  }
  std::uint64_t strip_ = 0;
};

TEST_F(InspectorScoreTest, AcceptsWhatEveryComponentAccepts) {
  Inspector inspector = create();
  const StripVerdict verdict = inspect_good(inspector, 1, kNoDeadline);
  EXPECT_EQ(verdict.verdict, Verdict::kAccept);
  ASSERT_THAT(verdict.component_scores, SizeIs(2 * 2 * 2 * 3));
  EXPECT_THAT(verdict.component_scores, Each(::testing::FloatNear(0.0F, 1e-6F)));
}

// 1 in both maps: (1 + 1) / 1 in the first region, (1 + 1) / 4 in the second.
TEST_F(InspectorScoreTest, NormalisesByRegion) {
  writer.manifest["thresholds"]["strip"] = {1.5, 1.5};
  Inspector inspector = create();
  const StripVerdict first = inspect(inspector, 0, kMapMarker);
  EXPECT_EQ(first.reason, Reason::kDefect);
  EXPECT_NEAR(first.scores[6], 2.0F, 1e-6F);  // [F][V][R]
  const StripVerdict second = inspect(inspector, 1, kMapMarker);
  EXPECT_EQ(second.verdict, Verdict::kAccept);
  EXPECT_NEAR(second.scores[7], 0.5F, 1e-6F);
  EXPECT_NEAR(second.component_scores[7 * 3], 0.0F, 1e-6F);
  EXPECT_EQ(second.component_scores[7 * 3 + 1], 1.0F);
  EXPECT_EQ(second.component_scores[7 * 3 + 2], 1.0F);
}

TEST_F(InspectorScoreTest, RejectsWhatOneOutputCannotSay) {
  Inspector inspector = create();
  const StripVerdict verdict = inspect(inspector, 0, kNanMarker);
  EXPECT_EQ(verdict.reason, Reason::kScoreInvalid);
  EXPECT_THAT(verdict.scores[6], IsNan());
}

TEST_F(InspectorScoreTest, RejectsWhatAnOutputThatDoesNotDecideCannotSay) {
  decide({"total"}, nullptr);
  Inspector inspector = create();
  EXPECT_EQ(inspect(inspector, 0, kNanMarker).reason, Reason::kScoreInvalid);
}

TEST_F(InspectorScoreTest, ComponentsOfStripsThatWereNotScoredAreNotNumbers) {
  Inspector inspector = create();
  ASSERT_TRUE(inspector.open(1, kNoDeadline).ok());
  EXPECT_THAT(inspector.close().component_scores, Each(IsNan()));
}

TEST_F(InspectorScoreTest, JoinsTheMaps) {
  Inspector inspector = create();
  (void)inspect(inspector, 0, kMapMarker);
  std::vector<float> map(144);
  ASSERT_TRUE(inspector.map(1, 1, 0, map).ok());
  // 1 in the middle of the first of three rows, resampled to twelve; and 1 all over from the number per patch.
  EXPECT_NEAR(map[0], 1.0F, 1e-6F);
  EXPECT_GT(*std::max_element(map.begin(), map.end()), 1.8F);
  ASSERT_TRUE(inspector.map(0, 1, 0, map).ok());
  EXPECT_THAT(map, Each(::testing::FloatNear(0.0F, 1e-6F)));
}

TEST_F(InspectorScoreTest, ResamplesTheMapOfASingleComponent) {
  decide({"spots"}, nullptr);
  Inspector inspector = create();
  (void)inspect(inspector, 0, kMapMarker);
  std::vector<float> map(144, -1.0F);
  ASSERT_TRUE(inspector.map(1, 1, 0, map).ok());
  // Column 2 of four is centred on column 7 of twelve, and row 0 shows its row alone.
  EXPECT_FLOAT_EQ(map[7], 1.0F);
  EXPECT_FLOAT_EQ(map[0], 0.0F);
  EXPECT_FLOAT_EQ(map[143], 0.0F);
}

TEST_F(InspectorScoreTest, MapsOnlyWhatWasScored) {
  Inspector inspector = create();
  std::vector<float> map(144);
  EXPECT_EQ(inspector.map(0, 0, 0, map).code(), Code::kNotFound);
  (void)inspect(inspector, 0, kMapMarker);
  EXPECT_EQ(inspector.map(2, 0, 0, map).code(), Code::kNotFound);
  EXPECT_EQ(inspector.map(0, -1, 0, map).code(), Code::kNotFound);
  const Status status = inspector.map(0, 0, 0, std::span(map).first(12));
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("144 floats, got 12"));
  ASSERT_TRUE(inspector.open(9, kNoDeadline).ok());
  EXPECT_EQ(inspector.map(0, 0, 0, map).code(), Code::kNotFound);
}

TEST_F(InspectorScoreTest, GivesComponentsAndOutputsOfAnyPatches) {
  Inspector inspector = create();
  std::vector<float> patches(3 * 144, 0.25F);
  patches[144] = static_cast<float>(kMapMarker) / 255.0F;
  std::vector<float> scores(3);
  std::vector<float> components(9);
  std::vector<float> reconstructions(3 * 144);
  std::vector<float> spots(36);
  std::vector<float> totals(3);
  const std::span<float> outputs[] = {reconstructions, spots, totals};
  const std::vector<std::size_t> regions = {1, 1, 0};
  ASSERT_TRUE(inspector.score_patches(patches, regions, 2, {scores, components, outputs}).ok());
  EXPECT_NEAR(scores[1], 0.5F, 1e-6F);
  EXPECT_EQ(components[4], 1.0F);
  EXPECT_EQ(spots[12 + 2], 1.0F);
  EXPECT_THAT(totals, ::testing::ElementsAre(0.0F, 1.0F, 0.0F));
  EXPECT_EQ(reconstructions, patches);
  // Without regions, patch 1 is of region 1, too; as the first it is of region 0.
  ASSERT_TRUE(inspector.score_patches(patches, {}, 2, {scores, {}, {}}).ok());
  EXPECT_NEAR(scores[1], 0.5F, 1e-6F);
  const auto from_second = std::span<const float>(patches).subspan(144);
  ASSERT_TRUE(inspector.score_patches(from_second, {}, 2, {std::span(scores).first(2), {}, {}}).ok());
  EXPECT_NEAR(scores[0], 2.0F, 1e-6F);
}

TEST_F(InspectorScoreTest, RefusesResultsThatDoNotFit) {
  Inspector inspector = create();
  std::vector<float> patches(2 * 144, 0.25F);
  std::vector<float> scores(2);
  std::vector<float> wrong(5);
  const std::span<float> outputs[] = {wrong};
  const auto refusal = [&](std::span<const std::size_t> regions, const PatchResults& results) {
    return inspector.score_patches(patches, regions, 0, results).message();
  };
  EXPECT_THAT(refusal({}, {scores, wrong, {}}), HasSubstr("6 scores of components, or none, got 5"));
  EXPECT_THAT(refusal({}, {scores, {}, outputs}), HasSubstr("3 outputs, or none, got 1"));
  const std::vector<std::size_t> one = {0};
  EXPECT_THAT(refusal(one, {scores, {}, {}}), HasSubstr("2 regions, or none, got 1"));
  const std::vector<std::size_t> unknown = {0, 2};
  EXPECT_THAT(refusal(unknown, {scores, {}, {}}), HasSubstr("regions below 2, got 2"));
}

// A plausible, wrong number is worse than none.
TEST_F(InspectorScoreTest, RefusesPatchesThatAreNoGreyValues) {
  Inspector inspector = create();
  std::vector<float> scores(2);
  for (const float strange : {255.0F, 1.31F, -0.31F, -1e30F}) {
    std::vector<float> patches(2 * 144, 0.25F);
    patches.back() = strange;
    const Status status = inspector.score_patches(patches, {}, 0, {scores, {}, {}});
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << strange;
    EXPECT_THAT(status.message(), HasSubstr("grey values from 0 to 1"));
  }
  for (const float overshoot : {-0.29F, 0.0F, 1.0F, 1.29F}) {
    const std::vector<float> patches(2 * 144, overshoot);
    EXPECT_TRUE(inspector.score_patches(patches, {}, 0, {scores, {}, {}}).ok()) << overshoot;
  }
}

TEST_F(InspectorScoreTest, NamesTheComponentOfAGoldenPatchThatDiffers) {
  writer.set_golden_columns(0.0F, {0.0F, -1.0F, 0.0F});
  const Result<Inspector> inspector = try_create();
  EXPECT_EQ(inspector.status().code(), Code::kDataCorrupt);
  EXPECT_THAT(inspector.status().message(), HasSubstr("component \"spots\""));
}

// A number of 1000 may differ by a thousand times the tolerance.
TEST_F(InspectorScoreTest, MeasuresGoldenPatchesByTheirSize) {
  decide({"total"}, nullptr);
  script->map_offset = 1000.0F;
  writer.set_golden_columns(1000.005F, {0.0F, 0.0F, 1000.005F});
  EXPECT_TRUE(try_create().ok()) << try_create().status().message();
  writer.set_golden_columns(1000.02F, {0.0F, 0.0F, 1000.02F});
  EXPECT_EQ(try_create().status().code(), Code::kDataCorrupt);
}

TEST_F(InspectorScoreTest, ANetworkWithoutReconstructionGivesNone) {
  writer.manifest["outputs"].erase("reconstruction");
  writer.manifest["score"]["components"].erase(0);
  writer.roles.erase("golden_output_reconstruction");
  writer.files.erase("golden/output_reconstruction.npy");
  decide({"spots"}, nullptr);
  writer.set_golden_columns(0.0F, {0.0F, 0.0F});
  Inspector inspector = create();
  (void)inspect_good(inspector, 1, kNoDeadline);
  const auto images = inspector.images(0, 0, 0);
  ASSERT_TRUE(images.has_value());
  EXPECT_THAT(images->input, SizeIs(144));
  EXPECT_THAT(images->reconstruction, SizeIs(0));
}

}  // namespace
}  // namespace vialsight::test
