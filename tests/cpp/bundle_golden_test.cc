// Golden patches as bundles store them: inputs of whole pixels, outputs of the first patch of each region. Older ones,
// of float32 and with all outputs, are what BundleWriter writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "bundle_writer.h"
#include "temporary_folder.h"
#include "vialsight/bundle.h"
#include "vialsight/patches.h"

namespace vialsight::test {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class BundleGoldenTest : public ::testing::Test {
 protected:
  void expect_error(Code code, const std::string& text) const {
    const Result<Bundle> bundle = Bundle::load(path);
    ASSERT_FALSE(bundle.ok());
    EXPECT_EQ(bundle.status().code(), code) << bundle.status().message();
    EXPECT_THAT(bundle.status().message(), HasSubstr(text));
  }
  static std::string pixels() {
    std::string data(16 * 144, '\0');
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i % 256);
    return data;
  }
  void set_inputs(const std::string& descr, const std::vector<std::size_t>& shape, const std::string& data) {
    writer.files["golden/inputs.npy"] = npy_of(descr, shape, data);
    writer.write(path);
  }
  void set_outputs(const std::vector<std::size_t>& shape) {
    std::size_t size = 1;
    for (const std::size_t edge : shape) size *= edge;
    writer.files["golden/output_reconstruction.npy"] = npy(shape, std::vector<float>(size, 0.5F));
    writer.write(path);
  }

  TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "small.vsb";
  BundleWriter writer;
};

TEST_F(BundleGoldenTest, InputsMayBePixels) {
  set_inputs("|u1", {2, 8, 12, 12}, pixels());
  const Result<Bundle> loaded = Bundle::load(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  const std::span<const float> inputs = loaded.value().golden().inputs;
  ASSERT_THAT(inputs, SizeIs(16 * 144));
  EXPECT_EQ(inputs[0], 0.0F);
  EXPECT_EQ(inputs[51], 0.2F);
  EXPECT_EQ(inputs[255], 1.0F);
  EXPECT_EQ(inputs[256 + 204], 0.8F);
}

// One conversion: the same bytes as a frame, whose box is copied.
TEST_F(BundleGoldenTest, InputsAreWhatExtractionMakesOfPixels) {
  set_inputs("|u1", {2, 8, 12, 12}, pixels());
  const Result<Bundle> loaded = Bundle::load(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  Layout layout = small_layout();
  layout.frame_width = 48;
  layout.frame_height = 48;
  layout.patch_size = 48;
  layout.regions = {"all"};
  layout.boxes = {{{0, 0, 48, 48}}};
  const std::string frame = pixels();
  const PatchExtractor extractor = PatchExtractor::create(layout).value();
  std::vector<float> patch(frame.size());
  std::vector<float> scratch(extractor.scratch_size());
  ASSERT_TRUE(extractor.extract({frame.data(), 48, 48, 48, PixelFormat::kGray8}, patch, scratch).ok());
  EXPECT_THAT(loaded.value().golden().inputs, ElementsAreArray(patch));
}

TEST_F(BundleGoldenTest, OutputsMayBeOfTheFirstPatches) {
  for (const std::size_t count : {1U, 3U}) {
    set_outputs({2, count, 12, 12});
    const Result<Bundle> loaded = Bundle::load(path);
    ASSERT_TRUE(loaded.ok()) << loaded.status().message();
    EXPECT_EQ(loaded.value().golden().outputs_per_region, count);
    EXPECT_THAT(loaded.value().golden().outputs[0], SizeIs(2 * count * 144));
  }
}

TEST_F(BundleGoldenTest, RefusesInputsOfUint16) {
  set_inputs("<u2", {2, 8, 12, 12}, pixels() + pixels());
  expect_error(Code::kUnsupported,
               "golden/inputs.npy: expected uint8 ('|u1') or little-endian float32 ('<f4'), got '<u2'");
}

TEST_F(BundleGoldenTest, RefusesPixelsOfAnotherShape) {
  set_inputs("|u1", {8, 2, 12, 12}, pixels());
  expect_error(Code::kDataCorrupt, "golden/inputs.npy: expected shape (2, 8, 12, 12), got (8, 2, 12, 12)");
}

TEST_F(BundleGoldenTest, RefusesTooFewPixels) {
  set_inputs("|u1", {2, 8, 12, 12}, pixels().substr(1));
  expect_error(Code::kDataCorrupt, "golden/inputs.npy: expected 2304 bytes of data for its shape, got 2303");
}

TEST_F(BundleGoldenTest, RefusesOutputsOfPixels) {
  writer.files["golden/output_reconstruction.npy"] = npy_of("|u1", {2, 8, 12, 12}, pixels());
  writer.write(path);
  expect_error(Code::kUnsupported,
               "golden/output_reconstruction.npy: expected little-endian float32 ('<f4'), got '|u1'");
}

TEST_F(BundleGoldenTest, RefusesComponentsOfPixels) {
  writer.files["golden/components.npy"] = npy_of("|u1", {2, 8, 1}, std::string(16, '\0'));
  writer.write(path);
  expect_error(Code::kUnsupported, "golden/components.npy: expected little-endian float32 ('<f4'), got '|u1'");
}

TEST_F(BundleGoldenTest, RefusesOutputsOfNoPatch) {
  set_outputs({2, 0, 12, 12});
  expect_error(Code::kDataCorrupt, "expected shape (2, n, 12, 12), n from 1 to 8, got (2, 0, 12, 12)");
}

TEST_F(BundleGoldenTest, RefusesOutputsOfMorePatchesThanThereAre) {
  set_outputs({2, 9, 12, 12});
  expect_error(Code::kDataCorrupt, "expected shape (2, n, 12, 12), n from 1 to 8, got (2, 9, 12, 12)");
}

TEST_F(BundleGoldenTest, RefusesOutputsOfAnotherSize) {
  set_outputs({2, 1, 12, 11});
  expect_error(Code::kDataCorrupt, "expected shape (2, 1, 12, 12), got (2, 1, 12, 11)");
}

TEST_F(BundleGoldenTest, RefusesAnOutputThatIsNotANumber) {
  writer.files["golden/output_reconstruction.npy"] = npy({2, 1, 12, 12}, std::vector<float>(288, std::nanf("")));
  writer.write(path);
  expect_error(Code::kDataCorrupt, "golden/output_reconstruction.npy: expected finite values, got nan at index 0");
}

TEST_F(BundleGoldenTest, RefusesOutputsOfDifferentNumbersOfPatches) {
  writer.add_map("spots", 2, 3);
  writer.set_golden_columns(0.0F, {0.0F, 0.0F});
  set_outputs({2, 1, 12, 12});
  expect_error(Code::kDataCorrupt, "golden/output_spots.npy: expected shape (2, 1, 2, 3), got (2, 8, 2, 3)");
}

}  // namespace
}  // namespace vialsight::test
