#include "vialsight/heatmap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace vialsight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kMax = std::numeric_limits<float>::max();

std::vector<float> heatmap_of(const std::vector<float>& map, const std::optional<HeatmapScale>& scale = std::nullopt) {
  std::vector<float> result(map.size(), -1.0F);
  const Status status = heatmap(map, scale, result);
  EXPECT_TRUE(status.ok()) << status.message();
  return result;
}

// (0.25 - 0.25) / 0.5, (0.5 - 0.25) / 0.5, (0.75 - 0.25) / 0.5.
TEST(Heatmap, OwnExtremesWithoutAScale) {
  EXPECT_THAT(heatmap_of({0.25F, 0.5F, 0.75F}), ElementsAre(0.0F, 0.5F, 1.0F));
}

TEST(Heatmap, OwnExtremesMayBeNegative) {
  EXPECT_THAT(heatmap_of({-3.0F, -2.0F, -1.0F}), ElementsAre(0.0F, 0.5F, 1.0F));
}

TEST(Heatmap, AFlatMapGivesZeros) { EXPECT_THAT(heatmap_of({0.25F, 0.25F}), ElementsAre(0.0F, 0.0F)); }

TEST(Heatmap, FixedScaleIsClipped) {
  EXPECT_THAT(heatmap_of({0.0F, 0.25F, 0.5F, 1.0F}, HeatmapScale{0.25F, 0.75F}), ElementsAre(0.0F, 0.0F, 0.5F, 1.0F));
}

TEST(Heatmap, PixelsThatAreNotFiniteAreOneAndDoNotMoveTheScale) {
  EXPECT_THAT(heatmap_of({kNan, kInf, 0.0F, 0.5F, 1.0F}), ElementsAre(1.0F, 1.0F, 0.0F, 0.5F, 1.0F));
  EXPECT_THAT(heatmap_of({kNan, -kInf}, HeatmapScale{}), ElementsAre(1.0F, 1.0F));
}

TEST(Heatmap, OnlyPixelsThatAreNotFinite) { EXPECT_THAT(heatmap_of({kNan}), ElementsAre(1.0F)); }

TEST(Heatmap, LargestFloatsDoNotOverflow) {
  EXPECT_THAT(heatmap_of({kMax, -kMax, 0.0F}), ElementsAre(1.0F, 0.0F, 0.5F));
}

TEST(Heatmap, MayBeWrittenOverItsInput) {
  std::vector<float> map = {0.25F, 0.5F, 0.75F};
  ASSERT_TRUE(heatmap(map, std::nullopt, map).ok());
  EXPECT_THAT(map, ElementsAre(0.0F, 0.5F, 1.0F));
}

TEST(Heatmap, NoPixels) { EXPECT_TRUE(heatmap({}, std::nullopt, {}).ok()); }

TEST(Heatmap, SizesThatDifferAreRefused) {
  std::vector<float> two(2);
  const std::vector<float> three(3);
  const Status status = heatmap(three, std::nullopt, two);
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("one size, got 3 and 2"));
}

TEST(Heatmap, AScaleThatIsNoneIsRefused) {
  std::vector<float> pixel(1);
  for (const HeatmapScale& scale : {HeatmapScale{0.5F, 0.5F}, HeatmapScale{1.0F, 0.0F}, HeatmapScale{kNan, 1.0F},
                                    HeatmapScale{0.0F, kNan}, HeatmapScale{0.0F, kInf}, HeatmapScale{-kInf, 0.0F}}) {
    const Status status = heatmap(pixel, scale, pixel);
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("vmax above vmin"));
  }
}

}  // namespace
}  // namespace vialsight
