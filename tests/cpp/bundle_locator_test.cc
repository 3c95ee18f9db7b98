// The locator of a bundle: manifest and arrays.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "bundle_writer.h"
#include "located_bundle.h"
#include "temporary_folder.h"
#include "vialsight/bundle.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr std::size_t kPixels = 160 * 128;

TEST(BundleLocatorTest, IsReadAsItWasWritten) {
  const TemporaryFolder folder;
  BundleWriter writer = located_bundle();
  writer.write(folder.path() / "a.vsb");
  const Result<Bundle> bundle = Bundle::load(folder.path() / "a.vsb");
  ASSERT_TRUE(bundle.ok()) << bundle.status().message();
  const LocatorModel* model = bundle.value().locator();
  ASSERT_NE(model, nullptr);
  const LocatorModel expected = blot_locator();
  EXPECT_EQ(model->kind, LocatorKind::kRigid);
  EXPECT_EQ(model->frame_width, 320);
  EXPECT_EQ(model->frame_height, 256);
  EXPECT_EQ(model->bit_depth, 8);
  EXPECT_EQ(model->scale, 2);
  EXPECT_EQ(model->reach_px, expected.reach_px);
  EXPECT_EQ(model->reach_turn, expected.reach_turn);
  EXPECT_EQ(model->residual_limit, expected.residual_limit);
  EXPECT_EQ(model->apart_px, expected.apart_px);
  EXPECT_EQ(model->apart_turn, expected.apart_turn);
  EXPECT_EQ(model->template_pixels, expected.template_pixels);
  EXPECT_EQ(model->weights, expected.weights);
  const GoldenLocations golden = bundle.value().golden_locations();
  EXPECT_EQ(golden.count, kGoldenPoses.size());
  EXPECT_THAT(golden.frames, SizeIs(kGoldenPoses.size() * kPixels));
  ASSERT_THAT(golden.poses, SizeIs(kGoldenPoses.size() * 3));
  EXPECT_NEAR(golden.poses[3], kGoldenPoses[1].dx, 0.05);
}

TEST(BundleLocatorTest, IsNotThereWhereNothingIsLocated) {
  const TemporaryFolder folder;
  BundleWriter().write(folder.path() / "a.vsb");
  const Bundle bundle = Bundle::load(folder.path() / "a.vsb").value();
  EXPECT_EQ(bundle.locator(), nullptr);
  EXPECT_EQ(bundle.golden_locations().count, 0U);
}

struct Damage {
  const char* name;
  const char* message;
  std::function<void(BundleWriter&)> apply;
};

void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

class DamagedLocatorTest : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedLocatorTest, IsRefused) {
  const TemporaryFolder folder;
  BundleWriter writer = located_bundle();
  GetParam().apply(writer);
  writer.write(folder.path() / "a.vsb");
  const Result<Bundle> bundle = Bundle::load(folder.path() / "a.vsb");
  ASSERT_FALSE(bundle.ok());
  EXPECT_EQ(bundle.status().code(), Code::kDataCorrupt);
  EXPECT_THAT(bundle.status().message(), HasSubstr(GetParam().message));
}

nlohmann::json& locate(BundleWriter& writer) { return writer.manifest["locate"]; }

void set_array(BundleWriter& writer, const char* file, const std::vector<std::size_t>& shape, float value) {
  std::size_t size = 1;
  for (const std::size_t edge : shape) size *= edge;
  writer.files[std::string("locator/") + file + ".npy"] = npy(shape, std::vector<float>(size, value));
}

INSTANTIATE_TEST_SUITE_P(
    Manifest, DamagedLocatorTest,
    ::testing::Values(
        Damage{"Null", "locate: expected an object, because", [](auto& w) { locate(w) = nullptr; }},
        Damage{"OfALayoutThatLocatesNothing", "locate: expected null, because",
               [](auto& w) { w.manifest["layout"].erase("locate"); }},
        Damage{"OfAnotherKind", "locate.model: expected", [](auto& w) { locate(w)["model"] = "translation"; }},
        Damage{"ResampledAsWithoutPose", "preprocess.resize: expected",
               [](auto& w) { w.manifest["preprocess"]["resize"] = "bilinear_antialias"; }},
        Damage{"UnknownKey", "locate.colour: unknown key", [](auto& w) { locate(w)["colour"] = 1; }},
        Damage{"NoScale", "locate.scale: missing", [](auto& w) { locate(w).erase("scale"); }},
        Damage{"ScaleOfZero", "locate.scale: expected", [](auto& w) { locate(w)["scale"] = 0; }},
        Damage{"AnotherScale", "expected shape (256, 320)", [](auto& w) { locate(w)["scale"] = 1; }},
        Damage{"NoReach", "locate.reach: missing", [](auto& w) { locate(w).erase("reach"); }},
        Damage{"ReachWithoutTurn", "reach.turn_rad: missing", [](auto& w) { locate(w)["reach"].erase("turn_rad"); }},
        Damage{"ReachOfHalfTheFrame", "reach_px: expected", [](auto& w) { locate(w)["reach"]["shift_px"] = 200.0; }},
        Damage{"NoLimits", "locate.limits: missing", [](auto& w) { locate(w).erase("limits"); }},
        Damage{"NoResidual", "limits.residual: missing", [](auto& w) { locate(w)["limits"].erase("residual"); }},
        Damage{"NegativeResidual", "residual_limit: expected", [](auto& w) { locate(w)["limits"]["residual"] = -0.1; }},
        Damage{"NegativeApart", "apart_px: expected", [](auto& w) { locate(w)["limits"]["apart_px"] = -1.0; }},
        Damage{"ApartTurnedTooFar", "apart_turn: expected",
               [](auto& w) { locate(w)["limits"]["apart_turn_rad"] = 1.0; }}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Arrays, DamagedLocatorTest,
    ::testing::Values(Damage{"TemplateOfAnotherShape", "locator/template.npy: expected shape (128, 160)",
                             [](auto& w) {
                               set_array(w, "template", {160, 128}, 0.5F);
                             }},
                      Damage{"FlatTemplate", "does not determine a pose",
                             [](auto& w) {
                               set_array(w, "template", {128, 160}, 0.5F);
                             }},
                      Damage{"TemplateOfNan", "locator/template.npy: expected finite",
                             [](auto& w) {
                               set_array(w, "template", {128, 160}, std::nanf(""));
                             }},
                      Damage{"WeightsOfAnotherShape", "locator/weights.npy: expected shape",
                             [](auto& w) {
                               set_array(w, "weights", {128, 161}, 1.0F);
                             }},
                      Damage{"NegativeWeights", "weights: expected",
                             [](auto& w) {
                               set_array(w, "weights", {128, 160}, -1.0F);
                             }},
                      Damage{"WeightsOfZero", "weights: expected some above 0",
                             [](auto& w) {
                               set_array(w, "weights", {128, 160}, 0.0F);
                             }},
                      Damage{"NoTemplate", "locator_template: missing",
                             [](auto& w) { w.roles.erase("locator_template"); }},
                      Damage{"OneGoldenFrame", "expected shape (n, 3), n from 2 to 64, got (1, 3)",
                             [](auto& w) {
                               set_array(w, "golden_poses", {1, 3}, 0.0F);
                             }},
                      Damage{"GoldenPosesOfTwo", "got (3, 2)",
                             [](auto& w) {
                               set_array(w, "golden_poses", {3, 2}, 0.0F);
                             }},
                      Damage{"FewerFramesThanPoses", "locator/golden_frames.npy: expected shape (3, 128, 160)",
                             [](auto& w) {
                               set_array(w, "golden_frames", {2, 128, 160}, 0.5F);
                             }},
                      Damage{"GoldenFramesOfNan", "locator/golden_frames.npy: expected finite",
                             [](auto& w) {
                               set_array(w, "golden_frames", {3, 128, 160}, std::nanf(""));
                             }},
                      Damage{"NoArray", "locator/weights.npy",
                             [](auto& w) { w.files["locator/weights.npy"] = "not an array at all"; }}),
    [](const auto& test) { return test.param.name; });

// Each of its files is sealed like every other.
TEST(BundleLocatorTest, AChangedByteIsFound) {
  for (const char* name : {"template", "weights", "golden_frames", "golden_poses"}) {
    const TemporaryFolder folder;
    BundleWriter writer = located_bundle();
    writer.write(folder.path() / "a.vsb");
    const std::string file = std::string("locator/") + name + ".npy";
    std::string bytes = writer.files[file];
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    BundleWriter::write_file(folder.path() / "a.vsb" / file, bytes);
    const Result<Bundle> bundle = Bundle::load(folder.path() / "a.vsb");
    ASSERT_FALSE(bundle.ok()) << name;
    EXPECT_THAT(bundle.status().message(), HasSubstr(file + ": expected SHA-256"));
  }
}

}  // namespace
}  // namespace vialsight::test
