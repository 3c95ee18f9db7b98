#include "imaging/frame_reduction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "blob_product.h"
#include "vialsight/locator.h"

namespace vialsight {
namespace {

using test::BlobProduct;
using test::Frame16;
using test::Frame8;
using test::Picture;
using testing::HasSubstr;

// The definition, in double, over every pixel.
double reference(const Picture& rounded, int scale, int row, int column) {
  const auto reflected = [](int i, int count) { return i < 0 ? -1 - i : i >= count ? 2 * count - 1 - i : i; };
  double total = 0.0;
  double sum = 0.0;
  for (int i = -4; i <= 4; ++i) {
    for (int j = -4; j <= 4; ++j) {
      const double weight = std::exp(-0.5 * (i * i + j * j));
      const int y = reflected(row + i, rounded.height / scale) * scale;
      const int x = reflected(column + j, rounded.width / scale) * scale;
      double mean = 0.0;
      for (int k = 0; k < scale * scale; ++k) mean += rounded.at(x + k % scale, y + k / scale);
      sum += weight * mean / (scale * scale);
      total += weight;
    }
  }
  return sum / total;
}

TEST(ReduceFrameTest, AveragesAndSmooths) {
  std::mt19937 generator(4);
  std::uniform_int_distribution<int> pixel(0, 4095);
  Picture picture{83, 67, std::vector<double>(83 * 67)};
  for (double& value : picture.values) value = pixel(generator) / 4095.0;
  for (const int scale : {1, 2, 3, 4}) {
    const int width = 83 / scale;
    std::vector<float> reduced(static_cast<std::size_t>(width * (67 / scale)));
    ASSERT_TRUE(reduce_frame(Frame16(picture, 12, 3).view(), scale, 12, reduced).ok());
    for (const auto& [row, column] : {std::pair{0, 0}, {7, 11}, {3, width - 1}, {67 / scale - 1, 2}}) {
      EXPECT_NEAR(reduced[static_cast<std::size_t>(row * width + column)], reference(picture, scale, row, column),
                  1e-6);
    }
  }
}

TEST(ReduceFrameTest, RefusesABufferOfAnotherSize) {
  const Frame8 frame(BlobProduct().draw({}), 8);
  std::vector<float> reduced(10);
  EXPECT_THAT(reduce_frame(frame.view(), 2, 8, reduced).message(), HasSubstr("expected room for 20480 floats"));
}

TEST(ReduceFrameTest, RefusesAScaleThatLeavesTooLittle) {
  const Frame8 frame(BlobProduct().draw({}), 8);
  EXPECT_THAT(reduce_frame(frame.view(), 32, 8, {}).message(), HasSubstr("scale: expected one"));
}

TEST(ReduceFrameTest, RefusesTheWrongDepth) {
  const Frame8 frame(BlobProduct().draw({}), 8);
  EXPECT_THAT(reduce_frame(frame.view(), 2, 12, {}).message(), HasSubstr("expected uint16"));
}

TEST(HalveTest, AveragesPairsAndLeavesOutAnOddEnd) {
  const std::vector<float> image{1, 2, 3, 4, 9, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9};
  std::vector<float> half(2);
  halve(image.data(), {3, 5}, half.data());
  EXPECT_EQ(half, (std::vector<float>{3.5F, 5.5F}));
}

}  // namespace
}  // namespace vialsight
