#include "imaging/resampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace vialsight {
namespace {

// Row `output` of the resampling matrix.
std::vector<double> dense_row(const Resampling& resampling, int input_size, std::size_t output) {
  std::vector<double> row(static_cast<std::size_t>(input_size), 0.0);
  for (std::size_t k = 0; k < resampling.taps(); ++k) {
    row.at(resampling.first(output) + k) = static_cast<double>(resampling.weights(output)[k]);
  }
  return row;
}

void expect_row(int input_size, int output_size, std::size_t output, const std::vector<double>& expected) {
  const std::vector<double> row = dense_row(Resampling(input_size, output_size), input_size, output);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(row[i], expected[i], 1e-7) << output << " " << i;
}

// Two samples to four: centres 0.25, 0.75, 1.25, 1.75 between sample centres 0.5 and 1.5.
TEST(Resampling, EnlargingTwofoldInterpolates) {
  expect_row(2, 4, 0, {1.0, 0.0});
  expect_row(2, 4, 1, {0.75, 0.25});
  expect_row(2, 4, 2, {0.25, 0.75});
  expect_row(2, 4, 3, {0.0, 1.0});
}

// Four samples to two: a triangle of radius 2 around 1.0 has 3/4, 3/4, 1/4 at 0.5, 1.5, 2.5.
TEST(Resampling, HalvingWidensTheTriangle) {
  expect_row(4, 2, 0, {3.0 / 7, 3.0 / 7, 1.0 / 7, 0.0});
  expect_row(4, 2, 1, {0.0, 1.0 / 7, 3.0 / 7, 3.0 / 7});
}

TEST(Resampling, OneSampleIsRepeated) {
  for (std::size_t output = 0; output < 5; ++output) expect_row(1, 5, output, {1.0});
}

TEST(Resampling, EqualSizesCopy) {
  for (std::size_t output = 0; output < 7; ++output) {
    std::vector<double> expected(7, 0.0);
    expected[output] = 1.0;
    expect_row(7, 7, output, expected);
  }
}

TEST(Resampling, RowsSumToOneAndStayInsideTheInput) {
  for (int input = 1; input <= 70; ++input) {
    for (int output = 1; output <= 40; ++output) {
      const Resampling resampling(input, output);
      for (std::size_t i = 0; i < static_cast<std::size_t>(output); ++i) {
        ASSERT_LE(resampling.first(i) + resampling.taps(), static_cast<std::size_t>(input));
        double sum = 0.0;
        for (const float weight : resampling.weights(i)) sum += static_cast<double>(weight);
        ASSERT_NEAR(sum, 1.0, 1e-6) << input << " " << output << " " << i;
      }
    }
  }
}

// The triangle kernel evaluated in double at every input sample, without spans.
TEST(Resampling, MatchesTheTriangleKernel) {
  for (const auto& [input, output] : {std::pair{300, 128}, {100, 256}, {257, 256}, {37, 11}, {5, 64}}) {
    const Resampling resampling(input, output);
    const double step = static_cast<double>(input) / output;
    const double radius = std::max(step, 1.0);
    for (int i = 0; i < output; ++i) {
      std::vector<double> expected;
      double total = 0.0;
      for (int j = 0; j < input; ++j) {
        expected.push_back(std::max(0.0, 1.0 - std::abs(j + 0.5 - (i + 0.5) * step) / radius));
        total += expected.back();
      }
      const std::vector<double> row = dense_row(resampling, input, static_cast<std::size_t>(i));
      for (std::size_t j = 0; j < expected.size(); ++j) ASSERT_NEAR(row[j], expected[j] / total, 2e-5);
    }
  }
}

}  // namespace
}  // namespace vialsight
