#include "vialsight/ssim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace vialsight {
namespace {

using testing::HasSubstr;

constexpr double kC1 = 0.01 * 0.01;
constexpr double kC2 = 0.03 * 0.03;

struct Image {
  int height;
  int width;
  std::vector<float> pixels;
};

Image constant_image(int height, int width, float value) {
  return {height, width, std::vector<float>(static_cast<std::size_t>(height * width), value)};
}

Image random_image(int height, int width, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(0.0F, 1.0F);
  Image image = constant_image(height, width, 0.0F);
  for (float& pixel : image.pixels) pixel = uniform(generator);
  return image;
}

double score(const Image& x, const Image& y) {
  std::vector<double> scratch(ssim_scratch_size(x.height, x.width));
  double result = -7.0;
  const Status status = ssim(x.pixels, y.pixels, x.height, x.width, scratch, result);
  EXPECT_TRUE(status.ok()) << status.message();
  return result;
}

// The definition, term by term: two-dimensional window, deviations from the mean, no shared sums.
double reference_at(const Image& x, const Image& y, int top, int left) {
  double weight[11][11];
  double total = 0.0;
  for (int i = 0; i < 11; ++i) {
    for (int j = 0; j < 11; ++j) {
      weight[i][j] = std::exp(-((i - 5) * (i - 5) + (j - 5) * (j - 5)) / (2.0 * 1.5 * 1.5));
      total += weight[i][j];
    }
  }
  const auto mean_of = [&](auto&& value) {
    double sum = 0.0;
    for (int i = 0; i < 11; ++i) {
      for (int j = 0; j < 11; ++j) {
        sum += weight[i][j] / total * value(static_cast<std::size_t>((top + i) * x.width + left + j));
      }
    }
    return sum;
  };
  const auto px = [&](std::size_t at) { return static_cast<double>(x.pixels[at]); };
  const auto py = [&](std::size_t at) { return static_cast<double>(y.pixels[at]); };
  const double mx = mean_of(px);
  const double my = mean_of(py);
  const double vx = mean_of([&](std::size_t at) { return (px(at) - mx) * (px(at) - mx); });
  const double vy = mean_of([&](std::size_t at) { return (py(at) - my) * (py(at) - my); });
  const double cov = mean_of([&](std::size_t at) { return (px(at) - mx) * (py(at) - my); });
  return (2 * mx * my + kC1) * (2 * cov + kC2) / ((mx * mx + my * my + kC1) * (vx + vy + kC2));
}

double reference(const Image& x, const Image& y) {
  double sum = 0.0;
  for (int top = 0; top + 11 <= x.height; ++top) {
    for (int left = 0; left + 11 <= x.width; ++left) sum += reference_at(x, y, top, left);
  }
  return sum / ((x.height - 10) * (x.width - 10));
}

struct Size {
  int height;
  int width;
};

class SsimSizes : public testing::TestWithParam<Size> {};

TEST_P(SsimSizes, RandomImagesMatchTheDefinition) {
  const auto [height, width] = GetParam();
  const Image x = random_image(height, width, 1);
  const Image y = random_image(height, width, 2);
  EXPECT_NEAR(score(x, y), reference(x, y), 1e-12);
}

TEST_P(SsimSizes, SimilarImagesMatchTheDefinition) {
  const auto [height, width] = GetParam();
  const Image x = random_image(height, width, 3);
  Image y = random_image(height, width, 4);
  for (std::size_t i = 0; i < y.pixels.size(); ++i) y.pixels[i] = x.pixels[i] + 0.01F * y.pixels[i];
  EXPECT_NEAR(score(x, y), reference(x, y), 1e-12);
}

TEST_P(SsimSizes, EqualImagesGiveOne) {
  const auto [height, width] = GetParam();
  const Image x = random_image(height, width, 5);
  EXPECT_NEAR(score(x, x), 1.0, 1e-12);
}

// 74 and 138 columns fill strips of the map exactly; one more begins the next.
INSTANTIATE_TEST_SUITE_P(Table, SsimSizes,
                         testing::Values(Size{11, 11}, Size{12, 11}, Size{11, 12}, Size{13, 74}, Size{13, 75},
                                         Size{13, 138}, Size{13, 139}, Size{97, 23}, Size{40, 100}, Size{64, 64}));

TEST(Ssim, ConstantImagesHaveOnlyLuminance) {
  for (const float a : {0.0F, 0.1F, 0.5F, 1.0F}) {
    for (const float b : {0.0F, 0.3F, 1.0F}) {
      const double expected = (2.0 * a * b + kC1) / (static_cast<double>(a) * a + static_cast<double>(b) * b + kC1);
      // 1e-9: the variance of equal numbers is a rounding error, here divided by 2·C2.
      EXPECT_NEAR(score(constant_image(20, 30, a), constant_image(20, 30, b)), expected, 1e-9) << a << " " << b;
    }
  }
}

TEST(Ssim, EqualConstantImagesGiveExactlyOne) {
  for (const float value : {0.0F, 0.1F, 1.0F / 3.0F, 1.0F}) {
    EXPECT_EQ(score(constant_image(31, 29, value), constant_image(31, 29, value)), 1.0);
  }
}

TEST(Ssim, BlackAgainstWhite) {
  EXPECT_NEAR(score(constant_image(256, 256, 0.0F), constant_image(256, 256, 1.0F)), kC1 / (1.0 + kC1), 1e-12);
}

TEST(Ssim, NegativeOfAnImageIsNegative) {
  const Image x = random_image(32, 32, 6);
  Image y = x;
  for (float& pixel : y.pixels) pixel = 1.0F - pixel;
  EXPECT_LT(score(x, y), -0.9);
}

TEST(Ssim, IsSymmetric) {
  const Image x = random_image(33, 90, 7);
  const Image y = random_image(33, 90, 8);
  EXPECT_EQ(score(x, y), score(y, x));
}

TEST(Ssim, OnePixelThatIsNotFiniteAnywhereGivesNan) {
  const float bad_values[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                              -std::numeric_limits<float>::infinity()};
  const Image clean = random_image(15, 80, 9);
  for (const float bad : bad_values) {
    for (std::size_t at = 0; at < clean.pixels.size(); ++at) {
      Image broken = clean;
      broken.pixels[at] = bad;
      ASSERT_TRUE(std::isnan(score(broken, clean))) << bad << " at " << at;
      ASSERT_TRUE(std::isnan(score(clean, broken))) << bad << " at " << at;
      ASSERT_TRUE(std::isnan(score(broken, broken))) << bad << " at " << at;
    }
  }
}

TEST(Ssim, ScratchKeepsNothingOfThePreviousImages) {
  const Image nan = constant_image(20, 80, std::numeric_limits<float>::quiet_NaN());
  const Image x = random_image(20, 30, 10);
  const Image y = random_image(20, 30, 11);
  std::vector<double> scratch(ssim_scratch_size(20, 80));
  double result = 0.0;
  ASSERT_TRUE(ssim(nan.pixels, nan.pixels, 20, 80, scratch, result).ok());
  ASSERT_TRUE(ssim(x.pixels, y.pixels, 20, 30, scratch, result).ok());
  EXPECT_EQ(result, score(x, y));
}

TEST(Ssim, ScratchNeedsNoAlignment) {
  const Image x = random_image(20, 30, 12);
  const Image y = random_image(20, 30, 13);
  const std::size_t size = ssim_scratch_size(20, 30);
  std::vector<double> scratch(size + 8);
  for (std::size_t offset = 0; offset < 8; ++offset) {
    double result = 0.0;
    ASSERT_TRUE(ssim(x.pixels, y.pixels, 20, 30, std::span(scratch).subspan(offset, size), result).ok());
    EXPECT_EQ(result, score(x, y));
  }
}

struct BadCall {
  int height;
  int width;
  std::size_t x_size;
  std::size_t y_size;
  std::size_t scratch_missing;
  const char* message;
};

class SsimArguments : public testing::TestWithParam<BadCall> {};

TEST_P(SsimArguments, AreRefusedAndChangeNothing) {
  const BadCall& call = GetParam();
  const std::vector<float> x(call.x_size);
  const std::vector<float> y(call.y_size);
  std::vector<double> scratch(ssim_scratch_size(call.height, call.width) - call.scratch_missing);
  double result = -7.0;
  const Status status = ssim(x, y, call.height, call.width, scratch, result);
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(call.message));
  EXPECT_EQ(result, -7.0);
}

INSTANTIATE_TEST_SUITE_P(Table, SsimArguments,
                         testing::Values(BadCall{10, 20, 200, 200, 0, "at least 11x11 pixels, got 10x20"},
                                         BadCall{20, 10, 200, 200, 0, "got 20x10"},
                                         BadCall{-11, -11, 121, 121, 0, "got -11x-11"},
                                         BadCall{11, 11, 120, 121, 0, "121 pixels, got 120 and 121"},
                                         BadCall{11, 11, 121, 122, 0, "got 121 and 122"},
                                         BadCall{11, 11, 121, 121, 1, "ssim_scratch_size()"}));

}  // namespace
}  // namespace vialsight
