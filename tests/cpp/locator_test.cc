#include "vialsight/locator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>

#include "allocation_counter.h"
#include "blob_product.h"

namespace vialsight {
namespace {

using test::BlobProduct;
using test::Frame16;
using test::Frame8;
using test::Picture;
using testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

LocatorModel model_of(const FrameView& nominal, int bit_depth) {
  LocatorModel model;
  model.frame_width = nominal.width;
  model.frame_height = nominal.height;
  model.bit_depth = bit_depth;
  model.scale = 2;
  const int pixels = (nominal.width / model.scale) * (nominal.height / model.scale);
  model.template_pixels.resize(static_cast<std::size_t>(pixels));
  model.weights.assign(static_cast<std::size_t>(pixels), 1.0F);
  model.residual_limit = 0.01;
  const Status status = reduce_frame(nominal, model.scale, bit_depth, model.template_pixels);
  EXPECT_TRUE(status.ok()) << status.message();
  return model;
}

// Of the product at rest, in 8 bits.
const LocatorModel& nominal_model() {
  static const LocatorModel model = model_of(Frame8(BlobProduct().draw({}), 8).view(), 8);
  return model;
}

Location locate(const FrameView& frame, const LocatorModel& model = nominal_model()) {
  Result<Locator> locator = Locator::create(model);
  EXPECT_TRUE(locator.ok()) << locator.status().message();
  const Result<Location> location = locator.value().locate(frame);
  EXPECT_TRUE(location.ok()) << location.status().message();
  return location.value();
}

Location locate(const Picture& picture) { return locate(Frame8(picture, 8).view()); }

void expect_pose(const Location& location, const Pose& pose, double tolerance_px = 0.05) {
  EXPECT_TRUE(location.found) << name_of(location.reason);
  EXPECT_EQ(location.reason, NotFound::kNone);
  EXPECT_NEAR(location.pose.dx, pose.dx, tolerance_px);
  EXPECT_NEAR(location.pose.dy, pose.dy, tolerance_px);
  EXPECT_NEAR(location.pose.turn, pose.turn, tolerance_px / 160.0);
}

void expect_not_found(const Location& location, NotFound reason) {
  EXPECT_FALSE(location.found);
  EXPECT_STREQ(name_of(location.reason), name_of(reason));
}

// By any reason: which comes first is no contract.
void expect_not_found(const Location& location) {
  EXPECT_FALSE(location.found) << location.pose.dx << ", " << location.pose.dy << ", " << location.pose.turn;
  EXPECT_NE(location.reason, NotFound::kNone);
}

class LocatorPoseTest : public testing::TestWithParam<Pose> {};

TEST_P(LocatorPoseTest, FindsTheProduct) {
  const Picture picture = BlobProduct().draw(GetParam());
  const Location location = locate(picture);
  expect_pose(location, GetParam());
  EXPECT_LT(location.residual, 0.002);
  EXPECT_NEAR(location.contrast, 1.0, 0.02);
  EXPECT_GT(location.steps, 0);
}

INSTANTIATE_TEST_SUITE_P(WithinTheReach, LocatorPoseTest,
                         testing::Values(Pose{}, Pose{0.3, -0.7, 0.0}, Pose{5.0, 2.0, 0.003}, Pose{-9.2, 8.4, -0.004},
                                         Pose{0.0, 0.0, 0.0244}, Pose{0.0, 0.0, -0.0244}, Pose{30.0, 30.0, 0.0244},
                                         Pose{-30.0, 30.0, -0.0244}, Pose{30.0, -30.0, -0.0244},
                                         Pose{-30.0, -30.0, 0.0244}, Pose{31.9, 0.0, 0.0}, Pose{0.0, -31.9, 0.0}));

TEST(LocatorTest, FindsATranslationByTranslation) {
  LocatorModel model = nominal_model();
  model.kind = LocatorKind::kTranslation;
  model.reach_turn = 0.0;
  const Location location = locate(Frame8(BlobProduct().draw({12.3, -20.6, 0.0}), 8).view(), model);
  expect_pose(location, {12.3, -20.6, 0.0});
  EXPECT_EQ(location.pose.turn, 0.0);
}

TEST(LocatorTest, FindsTheProductIn12And16BitFrames) {
  for (const int bit_depth : {12, 16}) {
    const Frame16 nominal(BlobProduct().draw({}), bit_depth);
    const Pose pose{-7.5, 3.25, 0.006};
    const LocatorModel model = model_of(nominal.view(), bit_depth);
    expect_pose(locate(Frame16(BlobProduct().draw(pose), bit_depth).view(), model), pose);
  }
}

TEST(LocatorTest, FindsTheProductAtScale1And3And4) {
  const Pose pose{6.5, -11.25, -0.008};
  for (const int scale : {1, 3, 4}) {
    LocatorModel model = nominal_model();
    model.scale = scale;
    model.template_pixels.resize(static_cast<std::size_t>((320 / scale) * (256 / scale)));
    model.weights.assign(model.template_pixels.size(), 2.5F);
    ASSERT_TRUE(reduce_frame(Frame8(BlobProduct().draw({}), 8).view(), scale, 8, model.template_pixels).ok());
    expect_pose(locate(Frame8(BlobProduct().draw(pose), 8).view(), model), pose);
  }
}

TEST(LocatorTest, ReadsRowsByTheirStride) {
  const Pose pose{4.0, 1.5, 0.002};
  expect_pose(locate(Frame8(BlobProduct().draw(pose), 8, 13).view()), pose);
}

TEST(LocatorTest, FindsTheProductInHalfAndDoubledContrast) {
  const BlobProduct product;
  const Pose pose{-6.0, 4.0, 0.005};
  for (const double contrast : {0.4, 0.5, 0.75, 0.85, 1.15, 1.25, 2.0}) {
    SCOPED_TRACE(contrast);
    const Location location = locate(product.draw(pose, contrast));
    expect_pose(location, pose, 0.1);
    EXPECT_NEAR(location.contrast, contrast, 0.05 * contrast);
  }
}

TEST(LocatorTest, FindsTheProductInAnotherBrightness) {
  const Pose pose{3.0, -4.0, 0.001};
  Picture picture = BlobProduct().draw(pose);
  for (double& value : picture.values) value += 0.2;
  expect_pose(locate(picture), pose);
}

TEST(LocatorTest, ADefectDoesNotMoveTheProduct) {
  const Pose pose{3.0, -4.0, 0.001};
  Picture picture = BlobProduct().draw(pose);
  for (int y = 60; y < 90; ++y) {
    for (int x = 200; x < 220; ++x) picture.at(x, y) = 0.0;
  }
  expect_pose(locate(picture), pose);
}

TEST(LocatorTest, PixelsWithoutWeightDoNotCount) {
  LocatorModel model = nominal_model();
  for (int i = 0; i < 40; ++i) {
    for (int j = 0; j < 160; ++j) model.weights[static_cast<std::size_t>(i * 160 + j)] = 0.0F;
  }
  const Pose pose{2.0, 3.0, 0.0};
  Picture picture = BlobProduct().draw(pose);
  for (int y = 0; y < 72; ++y) {
    for (int x = 0; x < picture.width; ++x) picture.at(x, y) = (x / 7 + y / 5) % 2;
  }
  expect_pose(locate(Frame8(picture, 8).view(), model), pose);
  expect_not_found(locate(picture));
}

TEST(LocatorTest, EqualFramesGiveEqualBits) {
  const Frame8 frame(BlobProduct().draw({7.0, -3.0, 0.01}), 8);
  const Frame8 other(BlobProduct(2).draw({}), 8);
  Locator locator = Locator::create(nominal_model()).value();
  const Location first = locator.locate(frame.view()).value();
  static_cast<void>(locator.locate(other.view()));
  const Location again = locator.locate(frame.view()).value();
  EXPECT_EQ(std::memcmp(&first.pose, &again.pose, sizeof(Pose)), 0);
  EXPECT_EQ(first.residual, again.residual);
  EXPECT_EQ(first.contrast, again.contrast);
  EXPECT_EQ(first.steps, again.steps);
}

TEST(LocatorTest, LocatingDoesNotAllocate) {
  const Frame8 frame(BlobProduct().draw({7.0, -3.0, 0.01}), 8);
  const Frame8 blank(Picture{320, 256, std::vector<double>(320 * 256, 1.0)}, 8);
  Locator locator = Locator::create(nominal_model()).value();
  test::start_counting_allocations();
  const bool found = locator.locate(frame.view()).value().found;
  const bool found_nothing = locator.locate(blank.view()).value().found;
  EXPECT_EQ(test::stop_counting_allocations(), 0);
  EXPECT_TRUE(found);
  EXPECT_FALSE(found_nothing);
}

TEST(LocatorTest, AZeroedLocationIsNotFound) {
  EXPECT_FALSE(Location().found);
  EXPECT_NE(Location().reason, NotFound::kNone);
}

TEST(LocatorNotFoundTest, UniformFrames) {
  for (const double value : {0.0, 0.4, 1.0}) {
    expect_not_found(locate(Picture{320, 256, std::vector<double>(320 * 256, value)}), NotFound::kContrast);
  }
}

TEST(LocatorNotFoundTest, Noise) {
  std::mt19937 generator(3);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (int i = 0; i < 10; ++i) {
    Picture picture{320, 256, std::vector<double>(320 * 256)};
    for (double& value : picture.values) value = uniform(generator);
    expect_not_found(locate(picture));
  }
}

TEST(LocatorNotFoundTest, UpsideDown) {
  Picture picture = BlobProduct().draw({});
  std::reverse(picture.values.begin(), picture.values.end());
  expect_not_found(locate(picture));
}

TEST(LocatorNotFoundTest, Mirrored) {
  const Picture picture = BlobProduct().draw({});
  Picture mirrored = picture;
  for (int y = 0; y < 256; ++y) {
    for (int x = 0; x < 320; ++x) mirrored.at(x, y) = picture.at(319 - x, y);
  }
  expect_not_found(locate(mirrored));
}

TEST(LocatorNotFoundTest, Inverted) { expect_not_found(locate(BlobProduct().draw({}, -1.0))); }

TEST(LocatorNotFoundTest, AnotherProduct) {
  for (unsigned seed = 2; seed < 12; ++seed) expect_not_found(locate(BlobProduct(seed).draw({})));
}

TEST(LocatorNotFoundTest, ShiftedBeyondTheReach) {
  const BlobProduct product;
  for (const Pose pose : {Pose{60.0, 0.0, 0.0}, Pose{0.0, -60.0, 0.0}, Pose{33.0, 0.0, 0.0}, Pose{0.0, 33.0, 0.0}}) {
    expect_not_found(locate(product.draw(pose)), NotFound::kOutsideReach);
  }
}

TEST(LocatorNotFoundTest, TurnedBeyondTheReach) {
  expect_not_found(locate(BlobProduct().draw({0.0, 0.0, 0.03})), NotFound::kOutsideReach);
}

TEST(LocatorNotFoundTest, ResidualAboveTheLimit) {
  const Picture picture = BlobProduct().draw({1.0, 2.0, 0.003});
  LocatorModel model = nominal_model();
  model.residual_limit = 0.5 * locate(picture).residual;
  expect_not_found(locate(Frame8(picture, 8).view(), model), NotFound::kResidual);
}

TEST(LocatorNotFoundTest, TooLittleContrast) {
  expect_not_found(locate(BlobProduct().draw({1.0, 2.0, 0.0}, 0.2)), NotFound::kContrast);
}

// Whoever covers half of a product may hide it, but never move it.
TEST(LocatorNotFoundTest, HalfCovered) {
  const Pose pose{2.0, -1.0, 0.002};
  for (const double value : {0.0, 0.5, 1.0}) {
    for (const bool left : {false, true}) {
      Picture picture = BlobProduct().draw(pose);
      for (int y = 0; y < (left ? 256 : 128); ++y) {
        for (int x = 0; x < (left ? 160 : 320); ++x) picture.at(x, y) = value;
      }
      const Location location = locate(picture);
      if (location.found) expect_pose(location, pose, 0.5);
    }
  }
}

TEST(LocatorFrameTest, AFrameOfAnotherSizeIsRefused) {
  Locator locator = Locator::create(nominal_model()).value();
  const Result<Location> location = locator.locate(Frame8(BlobProduct(1, 300, 256).draw({}), 8).view());
  EXPECT_EQ(location.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(location.status().message(), HasSubstr("expected 320x256 pixels"));
}

TEST(LocatorFrameTest, AFrameOfAnotherDepthIsRefused) {
  Locator locator = Locator::create(nominal_model()).value();
  const Result<Location> location = locator.locate(Frame16(BlobProduct().draw({}), 12).view());
  EXPECT_THAT(location.status().message(), HasSubstr("expected uint8"));
}

TEST(LocatorFrameTest, ANullFrameIsRefused) {
  Locator locator = Locator::create(nominal_model()).value();
  FrameView frame = Frame8(BlobProduct().draw({}), 8).view();
  frame.data = nullptr;
  EXPECT_THAT(locator.locate(frame).status().message(), HasSubstr("null pointer"));
}

struct Malformed {
  std::string name;
  std::string message;
  std::function<void(LocatorModel&)> damage;
};

class MalformedLocatorTest : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedLocatorTest, IsRefused) {
  LocatorModel model = nominal_model();
  GetParam().damage(model);
  const Result<Locator> locator = Locator::create(model);
  ASSERT_FALSE(locator.ok());
  EXPECT_EQ(locator.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(locator.status().message(), HasSubstr(GetParam().message));
}

// Stripes look the same wherever they are shifted along themselves.
void make_stripes(LocatorModel& model) {
  for (std::size_t i = 0; i < model.template_pixels.size(); ++i) {
    model.template_pixels[i] = 0.5F + 0.3F * std::sin(0.2F * static_cast<float>(i % 160));
  }
}

INSTANTIATE_TEST_SUITE_P(
    OneByOne, MalformedLocatorTest,
    testing::Values(
        Malformed{"UnknownKind", "kind: expected", [](LocatorModel& m) { m.kind = static_cast<LocatorKind>(7); }},
        Malformed{"NoKind", "kind: expected", [](LocatorModel& m) { m.kind = LocatorKind::kNone; }},
        Malformed{"NegativeApart", "apart_px: expected", [](LocatorModel& m) { m.apart_px = -1.0; }},
        Malformed{"ApartThatIsNoNumber", "apart_px: expected", [](LocatorModel& m) { m.apart_px = kNan; }},
        Malformed{"ApartTurnedTooFar", "apart_turn: expected", [](LocatorModel& m) { m.apart_turn = 0.2; }},
        Malformed{"NoWidth", "frame size: expected", [](LocatorModel& m) { m.frame_width = 0; }},
        Malformed{"NegativeHeight", "frame size: expected", [](LocatorModel& m) { m.frame_height = -256; }},
        Malformed{"HugeWidth", "frame size: expected", [](LocatorModel& m) { m.frame_width = 1 << 30; }},
        Malformed{"NoScale", "scale: expected a factor", [](LocatorModel& m) { m.scale = 0; }},
        Malformed{"HugeScale", "scale: expected a factor", [](LocatorModel& m) { m.scale = 65; }},
        Malformed{"ScaleThatLeavesTooLittle", "scale: expected one", [](LocatorModel& m) { m.scale = 17; }},
        Malformed{"ScaleThatLeavesTooMuch", "scale: expected one",
                  [](LocatorModel& m) { m.frame_width = m.frame_height = 3000; }},
        Malformed{"NoBitDepth", "bit_depth: expected", [](LocatorModel& m) { m.bit_depth = 0; }},
        Malformed{"BitDepth17", "bit_depth: expected", [](LocatorModel& m) { m.bit_depth = 17; }},
        Malformed{"NoReach", "reach_px: expected", [](LocatorModel& m) { m.reach_px = 0.0; }},
        Malformed{"ReachOfHalfTheFrame", "reach_px: expected", [](LocatorModel& m) { m.reach_px = 128.0; }},
        Malformed{"ReachThatIsNoNumber", "reach_px: expected", [](LocatorModel& m) { m.reach_px = kNan; }},
        Malformed{"NegativeTurn", "reach_turn: expected", [](LocatorModel& m) { m.reach_turn = -0.01; }},
        Malformed{"TurnOf5Degrees", "reach_turn: expected", [](LocatorModel& m) { m.reach_turn = 0.087; }},
        Malformed{"TurnThatIsNoNumber", "reach_turn: expected", [](LocatorModel& m) { m.reach_turn = kNan; }},
        Malformed{"TurnOfATranslation", "reach_turn: expected",
                  [](LocatorModel& m) { m.kind = LocatorKind::kTranslation; }},
        Malformed{"NoLimit", "residual_limit: expected", [](LocatorModel& m) { m.residual_limit = 0.0; }},
        Malformed{"LimitAboveOne", "residual_limit: expected", [](LocatorModel& m) { m.residual_limit = 1.5; }},
        Malformed{"LimitThatIsNoNumber", "residual_limit: expected", [](LocatorModel& m) { m.residual_limit = kNan; }},
        Malformed{"TemplateOfAnotherSize", "template: expected 20480 values",
                  [](LocatorModel& m) { m.template_pixels.pop_back(); }},
        Malformed{"EmptyTemplate", "template: expected 20480 values",
                  [](LocatorModel& m) { m.template_pixels.clear(); }},
        Malformed{"TemplateWithNan", "template: expected finite",
                  [](LocatorModel& m) { m.template_pixels[5] = std::nanf(""); }},
        Malformed{"TemplateWithInfinity", "template: expected finite",
                  [](LocatorModel& m) { m.template_pixels[5] = HUGE_VALF; }},
        Malformed{"TemplateInGreyValues", "at index 5", [](LocatorModel& m) { m.template_pixels[5] = 128.0F; }},
        Malformed{"FlatTemplate", "does not determine a pose",
                  [](LocatorModel& m) { m.template_pixels.assign(m.template_pixels.size(), 0.5F); }},
        Malformed{"StripedTemplate", "does not determine a pose", make_stripes},
        Malformed{"WeightsOfAnotherSize", "weights: expected 20480 values",
                  [](LocatorModel& m) { m.weights.push_back(1.0F); }},
        Malformed{"NegativeWeight", "weights: expected finite", [](LocatorModel& m) { m.weights[9] = -1.0F; }},
        Malformed{"WeightsWithNan", "weights: expected finite", [](LocatorModel& m) { m.weights[9] = std::nanf(""); }},
        Malformed{"WeightsWithInfinity", "weights: expected finite", [](LocatorModel& m) { m.weights[9] = HUGE_VALF; }},
        Malformed{"WeightsOfZero", "weights: expected some above 0",
                  [](LocatorModel& m) { m.weights.assign(m.weights.size(), 0.0F); }}),
    [](const auto& test) { return test.param.name; });

TEST(LocatorReducedTest, IsLocatedAsTheFrameItIsMadeOf) {
  const Frame8 frame(BlobProduct().draw({5.0, -3.0, 0.01}), 8);
  std::vector<float> reduced(nominal_model().template_pixels.size());
  ASSERT_TRUE(reduce_frame(frame.view(), nominal_model().scale, 8, reduced).ok());
  Result<Locator> locator = Locator::create(nominal_model());
  const Location expected = locator.value().locate(frame.view()).value();
  const Location came = locator.value().locate_reduced(reduced).value();
  EXPECT_TRUE(came.found);
  EXPECT_EQ(came.pose, expected.pose);
  EXPECT_EQ(came.residual, expected.residual);
  reduced.pop_back();
  EXPECT_EQ(locator.value().locate_reduced(reduced).status().code(), Code::kInvalidArgument);
}

TEST(PosesAgreeTest, UpToTheModelsBounds) {
  LocatorModel model;
  model.apart_px = 2.0;
  model.apart_turn = 0.001;
  const auto frames = [](const Pose& last, bool found = true) {
    std::vector<Location> locations(3);
    for (Location& location : locations) location.found = true;
    locations[0].pose = {1.0, -1.0, 0.01};
    locations[1].pose = {2.0, 0.0, 0.0105};
    locations[2].found = found;
    locations[2].pose = last;
    return locations;
  };
  EXPECT_TRUE(poses_agree(frames({3.0, 1.0, 0.011}), model));
  EXPECT_FALSE(poses_agree(frames({3.1, 1.0, 0.01}), model));
  EXPECT_FALSE(poses_agree(frames({1.0, 1.1, 0.01}), model));
  EXPECT_FALSE(poses_agree(frames({1.0, 0.0, 0.0116}), model));
  EXPECT_FALSE(poses_agree(frames({kNan, 0.0, 0.01}), model));
  EXPECT_FALSE(poses_agree(frames({1.0, 0.0, 0.01}, false), model));
  EXPECT_TRUE(poses_agree({}, model));
}

TEST(LocationTest, OfNobodyWhoLookedIsNotFound) {
  const Location location;
  EXPECT_FALSE(location.found);
  EXPECT_STREQ(name_of(location.reason), "not_searched");
}

TEST(LocatorScaleTest, LeavesAtMost131072Pixels) {
  EXPECT_EQ(locator_scale(1408, 1152), 4);
  EXPECT_EQ(locator_scale(320, 256), 1);
  EXPECT_EQ(locator_scale(640, 480), 2);
  EXPECT_EQ(locator_scale(4096, 3000), 10);
}

}  // namespace
}  // namespace vialsight
