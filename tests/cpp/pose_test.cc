#include "vialsight/pose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace vialsight {
namespace {

using testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Layout frame_of(int width, int height) {
  Layout layout;
  layout.frame_width = width;
  layout.frame_height = height;
  return layout;
}

TEST(SeenAt, APositiveTurnIsCounterClockwiseOnAScreen) {
  const Pose pose{0.0, 0.0, 0.01};
  EXPECT_EQ(seen_at(pose, {100.0, 0.0}), (Point{100.0, -1.0}));
  EXPECT_EQ(seen_at(pose, {0.0, 100.0}), (Point{1.0, 100.0}));
}

TEST(BoxCorners, OfTheZeroPoseAreTheBoxes) {
  const auto corners = box_corners({3, 5, 7, 11}, frame_of(63, 48), {});
  EXPECT_THAT(corners, testing::ElementsAre(Point{3, 5}, Point{10, 5}, Point{10, 16}, Point{3, 16}));
}

TEST(BoxCorners, AShiftMovesAll) {
  const auto corners = box_corners({3, 5, 7, 11}, frame_of(64, 48), {1.5, -2.25, 0.0});
  EXPECT_THAT(corners,
              testing::ElementsAre(Point{4.5, 2.75}, Point{11.5, 2.75}, Point{11.5, 13.75}, Point{4.5, 13.75}));
}

TEST(BoxCorners, ATurnIsARotationAboutTheMiddleOfTheFrame) {
  const double angle = 0.001;
  const auto corners = box_corners({0, 0, 64, 48}, frame_of(64, 48), {0.0, 0.0, angle});
  // Bottom right, (32, 24) from the centre, turned by the rotation's matrix with y down.
  EXPECT_NEAR(corners[2].x, 32 + std::cos(angle) * 32 + std::sin(angle) * 24, 1e-4);
  EXPECT_NEAR(corners[2].y, 24 - std::sin(angle) * 32 + std::cos(angle) * 24, 1e-4);
  EXPECT_NEAR(corners[0].x + corners[2].x, 64.0, 1e-12);
  EXPECT_NEAR(corners[0].y + corners[2].y, 48.0, 1e-12);
}

TEST(CheckPose, UpToTheLimitsIsFine) {
  for (const Pose& pose : {Pose{}, Pose{64.0, -48.0, 0.1}, Pose{-64.0, 48.0, -0.1}}) {
    EXPECT_TRUE(check_pose(pose, frame_of(64, 48)).ok());
  }
}

struct BadPose {
  const char* what;
  Pose pose;
  const char* message;
};

void PrintTo(const BadPose& bad, std::ostream* out) { *out << bad.what; }

class CheckPoseOf : public testing::TestWithParam<BadPose> {};

TEST_P(CheckPoseOf, Refuses) {
  const Status status = check_pose(GetParam().pose, frame_of(64, 48));
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(Values, CheckPoseOf,
                         testing::Values(BadPose{"dx is no number", {kNaN, 0, 0}, "dx within ±64 pixels, got nan"},
                                         BadPose{"dy is no number", {0, kNaN, 0}, "dy within ±48 pixels, got nan"},
                                         BadPose{
                                             "turn is no number", {0, 0, kNaN}, "turn within ±0.1 radians, got nan"},
                                         BadPose{"infinite dx", {kInfinity, 0, 0}, "got inf"},
                                         BadPose{"infinite dy", {0, -kInfinity, 0}, "got -inf"},
                                         BadPose{"infinite turn", {0, 0, kInfinity}, "got inf"},
                                         BadPose{"dx of more than the frame", {-64.5, 0, 0}, "got -64.5"},
                                         BadPose{"dy of more than the frame", {0, 48.5, 0}, "got 48.5"},
                                         BadPose{"turn of 90 degrees", {0, 0, 1.5708}, "got 1.5708"}));

}  // namespace
}  // namespace vialsight
