#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "allocation_counter.h"
#include "frames.h"
#include "vialsight/patches.h"
#include "vialsight/pose.h"

namespace vialsight {
namespace {

using test::Frame;
using test::layout_of;
using testing::HasSubstr;

// Sizes that the extractor asks for, and nothing more: a sanitizer sees what is read or written beside them.
struct Extraction {
  explicit Extraction(const Layout& layout)
      : extractor(PatchExtractor::create(layout).value()),
        patches(layout.patches_per_frame() * layout.pixels_per_patch(), -1.0F),
        scratch(extractor.scratch_size()) {}

  Status run(const FrameView& frame, const Pose& pose) { return extractor.extract(frame, pose, patches, scratch); }

  PatchExtractor extractor;
  std::vector<float> patches;
  std::vector<float> scratch;
};

double keys(double distance) {
  const double d = std::abs(distance);
  if (d < 1.0) return 1.5 * d * d * d - 2.5 * d * d + 1.0;
  return d < 2.0 ? -0.5 * d * d * d + 2.5 * d * d - 4.0 * d + 2.0 : 0.0;
}

// One output pixel, by the definition: the kernel in double over every pixel within reach, the frame's edge repeated.
template <typename Pixel>
double reference(Frame<Pixel>& frame, const Box& box, int size, const Pose& pose, int row, int column, double limit) {
  const double step_x = static_cast<double>(box.width) / size;
  const double step_y = static_cast<double>(box.height) / size;
  const double u = box.x + (column + 0.5) * step_x - frame.width / 2.0;
  const double v = box.y + (row + 0.5) * step_y - frame.height / 2.0;
  const double x = u + pose.dx + pose.turn * v + frame.width / 2.0 - 0.5;
  const double y = v + pose.dy - pose.turn * u + frame.height / 2.0 - 0.5;
  const double scale_x = std::max(step_x, 1.0);
  const double scale_y = std::max(step_y, 1.0);
  double sum = 0.0;
  double total = 0.0;
  for (int r = static_cast<int>(y - 2 * scale_y) - 2; r <= y + 2 * scale_y + 2; ++r) {
    for (int c = static_cast<int>(x - 2 * scale_x) - 2; c <= x + 2 * scale_x + 2; ++c) {
      const double weight = keys((r - y) / scale_y) * keys((c - x) / scale_x);
      sum += weight * frame.at(std::clamp(c, 0, frame.width - 1), std::clamp(r, 0, frame.height - 1)) / limit;
      total += weight;
    }
  }
  return std::clamp(sum / total, 0.0, 1.0);
}

const std::vector<Box> kBoxes{{0, 0, 16, 16},  {48, 32, 16, 16}, {20, 9, 16, 16}, {5, 6, 8, 8},
                              {1, 2, 17, 15},  {0, 0, 64, 48},   {3, 4, 32, 32},  {63, 47, 1, 1},
                              {10, 0, 16, 48}, {0, 10, 64, 16},  {30, 20, 24, 8}, {0, 0, 63, 13}};

class ExtractAtPose : public testing::TestWithParam<Pose> {};

template <typename Pixel>
void expect_definition(const Pose& pose, int bit_depth) {
  const unsigned limit = (1U << static_cast<unsigned>(bit_depth)) - 1U;
  Frame<Pixel> frame(64, 48, limit, 3);
  Extraction one(layout_of(kBoxes, 16, bit_depth));
  const Status status = one.run(frame.view(), pose);
  ASSERT_TRUE(status.ok()) << status.message();
  const float* value = one.patches.data();
  for (const Box& box : kBoxes) {
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 16; ++column) {
        ASSERT_NEAR(*value++, reference(frame, box, 16, pose, row, column, limit), 1e-5)
            << testing::PrintToString(std::vector{box.x, box.y, box.width, box.height}) << row << " " << column;
      }
    }
  }
}

TEST_P(ExtractAtPose, MatchesTheDefinitionForBytes) { expect_definition<std::uint8_t>(GetParam(), 8); }
TEST_P(ExtractAtPose, MatchesTheDefinitionForTwelveBits) { expect_definition<std::uint16_t>(GetParam(), 12); }

constexpr double kHardly = std::numeric_limits<double>::denorm_min();

INSTANTIATE_TEST_SUITE_P(Poses, ExtractAtPose,
                         testing::Values(Pose{}, Pose{2, -3, 0}, Pose{0.4, 0.9, 0}, Pose{-2.75, 1.1, 0.0035},
                                         Pose{0, 0, kMaxTurn}, Pose{0, 0, -kMaxTurn}, Pose{64, 48, kMaxTurn},
                                         Pose{-64, -48, -kMaxTurn}, Pose{64, -48, -kMaxTurn}, Pose{0, 0, kHardly},
                                         Pose{0.5, 0, -kHardly}, Pose{-1e-18, -1e-18, 0}, Pose{-1e-18, -1e-18, 1e-18}));

TEST(ExtractLocated, TheZeroPoseCopiesBoxesOfThePatchSize) {
  const Frame<std::uint16_t> frame(64, 48, 4095);
  Extraction one(layout_of({{0, 0, 16, 16}, {48, 32, 16, 16}, {7, 5, 16, 16}}, 16, 12));
  ASSERT_TRUE(one.extractor.extract(frame.view(), one.patches, one.scratch).ok());
  const std::vector<float> copied = one.patches;
  ASSERT_TRUE(one.run(frame.view(), {}).ok());
  EXPECT_EQ(one.patches, copied);
}

TEST(ExtractLocated, AllocatesNothing) {
  const Frame<std::uint8_t> frame(64, 48, 255);
  Extraction one(layout_of(kBoxes, 16));
  test::start_counting_allocations();
  const bool ok = one.run(frame.view(), {1.5, -0.5, 0.01}).ok();
  EXPECT_EQ(test::stop_counting_allocations(), 0);
  EXPECT_TRUE(ok);
}

TEST(ExtractLocated, APixelAboveTheBitDepthIsNamed) {
  Frame<std::uint16_t> frame(64, 48, 4095);
  frame.at(30, 11) = 4096;
  Extraction one(layout_of({{4, 8, 16, 16}}, 16, 12));
  EXPECT_TRUE(one.run(frame.view(), {2.0, 0.0, 0.0}).ok());
  const Status status = one.run(frame.view(), {12.0, 0.0, 0.0});
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("(x 30, y 11) is 4096"));
}

TEST(ExtractLocated, APoseThatIsNoneIsRefused) {
  const Frame<std::uint8_t> frame(64, 48, 255);
  Extraction one(layout_of(kBoxes, 16));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Pose& pose : {Pose{nan, 0, 0}, Pose{0, nan, 0}, Pose{0, 0, nan}, Pose{65, 0, 0}, Pose{0, 0, 0.2}}) {
    const Status status = one.run(frame.view(), pose);
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("pose: expected"));
  }
}

TEST(ExtractLocated, BuffersOfTheWrongSizeAreRefused) {
  const Frame<std::uint8_t> frame(64, 48, 255);
  Extraction one(layout_of(kBoxes, 16));
  one.scratch.pop_back();
  EXPECT_THAT(one.run(frame.view(), {}).message(), HasSubstr("and scratch of"));
}

TEST(ExtractLocated, AFrameThatDoesNotFitIsRefused) {
  const Frame<std::uint8_t> frame(63, 48, 255);
  Extraction one(layout_of(kBoxes, 16));
  EXPECT_THAT(one.run(frame.view(), {}).message(), HasSubstr("expected 64x48 pixels"));
}

}  // namespace
}  // namespace vialsight
