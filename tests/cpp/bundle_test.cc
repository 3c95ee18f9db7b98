// Files, digests and arrays of a bundle; the manifest's fields are in bundle_manifest_test.cc.
#include "vialsight/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <string>

#include "bundle_writer.h"
#include "temporary_folder.h"

namespace vialsight::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class BundleTest : public ::testing::Test {
 protected:
  void expect_error(Code code, const std::string& text) const {
    const Result<Bundle> bundle = Bundle::load(path);
    ASSERT_FALSE(bundle.ok());
    EXPECT_EQ(bundle.status().code(), code) << bundle.status().message();
    EXPECT_THAT(bundle.status().message(), HasSubstr(text));
    EXPECT_THAT(bundle.status().message(), HasSubstr(path.string()));
  }
  static std::string read(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  void replace_by_link(const std::string& name) const {
    std::filesystem::rename(path / name, folder.path() / "moved");
    std::filesystem::create_symlink(folder.path() / "moved", path / name);
  }

  TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "small.vsb";
  BundleWriter writer;
};

TEST_F(BundleTest, LoadsWhatWasWritten) {
  writer.manifest["thresholds"]["strip"] = {0.125, 0.5};
  writer.write(path);
  const Bundle bundle = Bundle::load(path).value();
  EXPECT_EQ(bundle.path(), path);
  EXPECT_EQ(bundle.name(), "small");
  EXPECT_EQ(bundle.layout(), small_layout());
  EXPECT_EQ(bundle.input_name(), "patches");
  EXPECT_EQ(bundle.method(), "drae");
  EXPECT_EQ(bundle.runtime(), "tensorflow");
  ASSERT_THAT(bundle.outputs(), SizeIs(1));
  EXPECT_EQ(bundle.outputs()[0].name, "reconstruction");
  EXPECT_EQ(bundle.outputs()[0].role, OutputRole::kReconstruction);
  EXPECT_EQ(bundle.outputs()[0].pixels(), 144U);
  EXPECT_THAT(bundle.components(), ElementsAre("ssim"));
  EXPECT_THAT(bundle.locations(), SizeIs(0));
  EXPECT_EQ(bundle.manifest_json(), read(path / "manifest.json"));
  EXPECT_EQ(bundle.sha256(), read(path / "manifest.json.sha256").substr(0, 64));
  EXPECT_THAT(bundle.thresholds(Level::kStrip), ElementsAre(0.125, 0.5));
  EXPECT_THAT(bundle.thresholds(Level::kRun), ElementsAre(0.25, 0.25));
  EXPECT_EQ(bundle.heatmap_scale(1)->vmax, 0.5F);
  EXPECT_FALSE(bundle.heatmap_scale(2).has_value());
  EXPECT_THAT(bundle.model(), SizeIs(writer.files["model.pb"].size()));
  EXPECT_THAT(bundle.fingerprints(), SizeIs(writer.files["fingerprints.npz"].size()));
  EXPECT_EQ(bundle.golden().count_per_region, kGoldenPerRegion);
  EXPECT_EQ(bundle.golden().tolerance, 1e-5);
  ASSERT_THAT(bundle.golden().inputs, SizeIs(2 * 8 * 12 * 12));
  EXPECT_FLOAT_EQ(bundle.golden().inputs[98], 1.0F / 128.0F);
  ASSERT_THAT(bundle.golden().outputs, SizeIs(1));
  EXPECT_EQ(bundle.golden().outputs_per_region, 8U);
  EXPECT_THAT(bundle.golden().outputs[0], SizeIs(2 * 8 * 12 * 12));
  EXPECT_THAT(bundle.golden().scores, SizeIs(16));
  EXPECT_THAT(bundle.golden().components, SizeIs(16));
  EXPECT_THAT(bundle.golden_components(15), ElementsAre(0.0F));
  EXPECT_THAT(bundle.golden_components(16), SizeIs(0));
}

// Two outputs and three components, of which the last and the first decide.
class BundleScoreTest : public BundleTest {
 protected:
  BundleScoreTest() {
    writer.add_map("spots", 2, 3);
    writer.add_map("total", 1, 1);
    nlohmann::json& score = writer.manifest["score"];
    score["decide"] = {"total", "ssim"};
    score["combine"] = "largest";
    score["normalisation"] = {
        {{"component", "total"}, {"offset", {1.0, 2.0}}, {"scale", {2.0, 4.0}}, {"map_scale", {1.0, 1.0}}},
        {{"component", "ssim"}, {"offset", {0.0, 0.0}}, {"scale", {1.0, 1.0}}, {"map_scale", {1.0, 1.0}}}};
    set_golden(9.0F);
  }
  // ssim 0.25, spots 7, total `total`: (total - 1) / 2 in the first region, (total - 2) / 4 in the second.
  void set_golden(float total, float off = 0.0F) {
    std::vector<float> scores(16, (total - 1.0F) / 2.0F + off);
    std::fill(scores.begin() + 8, scores.end(), (total - 2.0F) / 4.0F);
    writer.set_golden_columns(0.0F, {0.25F, 7.0F, total});
    writer.files["golden/scores.npy"] = npy({2, 8}, scores);
  }
  void measure_spots(const std::vector<std::size_t>& shape, float spread = 1.0F) {
    std::size_t size = 1;
    for (const std::size_t edge : shape) size *= edge;
    writer.manifest["score"]["components"][1]["per_location"] = true;
    writer.roles["location_spots"] = "location/spots.npy";
    writer.files["location/spots.npy"] = npy(shape, std::vector<float>(size, spread));
  }
};

TEST_F(BundleScoreTest, LoadsWhatWasWritten) {
  writer.write(path);
  const Result<Bundle> loaded = Bundle::load(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  const Bundle& bundle = loaded.value();
  ASSERT_THAT(bundle.outputs(), SizeIs(3));  // by name: reconstruction, spots, total
  EXPECT_EQ(bundle.outputs()[1].height, 2);
  EXPECT_EQ(bundle.outputs()[1].width, 3);
  EXPECT_EQ(bundle.outputs()[2].role, OutputRole::kMap);
  EXPECT_THAT(bundle.components(), ElementsAre("total", "ssim"));
  EXPECT_THAT(bundle.golden_components(3), ElementsAre(9.0F, 0.25F));
  const Score score = bundle.make_score().value();
  EXPECT_EQ(score.combine(bundle.golden_components(3), 0), 4.0F);
}

TEST_F(BundleScoreTest, MakesAScoreOfAnotherChoice) {
  writer.write(path);
  const Bundle bundle = Bundle::load(path).value();
  nlohmann::json definition = writer.manifest["score"];
  definition["decide"] = {"spots"};
  definition["combine"] = nullptr;
  definition["normalisation"] = nullptr;
  const Score score = bundle.make_score(definition.dump()).value();
  EXPECT_THAT(score.components(), ElementsAre("spots"));
  EXPECT_EQ(score.map_size(), (MapSize{2, 3}));
  definition["decide"] = {"others"};
  EXPECT_EQ(bundle.make_score(definition.dump()).status().code(), Code::kDataCorrupt);
}

TEST_F(BundleScoreTest, RefusesGoldenScoresThatTheirComponentsDoNotGive) {
  set_golden(9.0F, 1e-4F);
  writer.write(path);
  expect_error(Code::kDataCorrupt, "golden/scores.npy: expected 4.000000 as the golden components give, got 4.000100");
}

TEST_F(BundleScoreTest, RefusesGoldenComponentsOfAnotherShape) {
  writer.files["golden/components.npy"] = npy({2, 8, 2}, std::vector<float>(32));
  writer.write(path);
  expect_error(Code::kDataCorrupt, "golden/components.npy: expected shape (2, 8, 3), got (2, 8, 2)");
}

TEST_F(BundleScoreTest, RefusesAGoldenOutputOfAnotherShape) {
  writer.files["golden/output_spots.npy"] = npy({2, 8, 3, 2}, std::vector<float>(96));
  writer.write(path);
  expect_error(Code::kDataCorrupt, "golden/output_spots.npy: expected shape (2, 8, 2, 3), got (2, 8, 3, 2)");
}

TEST_F(BundleScoreTest, LoadsLocationsOfAComponent) {
  measure_spots({2, 2, 2, 3});
  writer.write(path);
  const Result<Bundle> loaded = Bundle::load(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  ASSERT_THAT(loaded.value().locations(), SizeIs(1));
  EXPECT_EQ(loaded.value().locations()[0].component, "spots");
  EXPECT_EQ(loaded.value().locations()[0].size, (MapSize{2, 3}));
  EXPECT_THAT(loaded.value().locations()[0].mean, SizeIs(12));
}

// A component that is divided by a spread is that much more sensitive to rounding in the network.
TEST_F(BundleScoreTest, GoldenScoresMayDifferByWhatASpreadMakesOfThem) {
  writer.manifest["score"]["decide"] = {"spots", "ssim"};
  writer.manifest["score"]["normalisation"][0]["component"] = "spots";
  std::vector<float> scores(16, (7.0F - 1.0F) / 2.0F);
  std::fill(scores.begin() + 8, scores.end(), (7.0F - 2.0F) / 4.0F);
  writer.files["golden/scores.npy"] = npy({2, 8}, scores);
  measure_spots({2, 2, 2, 3});
  std::vector<float> arrays(24, 1.0F);
  arrays[13] = 0.125F;                                        // of the first region
  std::fill(arrays.begin() + 18, arrays.begin() + 24, 0.0F);  // of the second
  writer.files["location/spots.npy"] = npy({2, 2, 2, 3}, arrays);
  writer.write(path);
  const Result<Bundle> bundle = Bundle::load(path);
  ASSERT_TRUE(bundle.ok()) << bundle.status().message();
  EXPECT_THAT(bundle.value().golden_scales(0), ElementsAre(8.0, 1.0));
  EXPECT_THAT(bundle.value().golden_scales(8), ElementsAre(1000.0, 1.0));
  EXPECT_THAT(bundle.value().golden_scales(16), SizeIs(0));
}

TEST_F(BundleScoreTest, RefusesLocationsOfAnotherShape) {
  for (const std::vector<std::size_t>& shape :
       std::vector<std::vector<std::size_t>>{{2, 2, 6}, {1, 2, 2, 3}, {2, 1, 2, 3}, {3, 2, 2, 3}}) {
    measure_spots(shape);
    writer.write(path);
    expect_error(Code::kDataCorrupt, "location/spots.npy: expected shape (2, 2, height, width), got (");
  }
}

TEST_F(BundleScoreTest, RefusesLocationsOfAnotherMap) {
  measure_spots({2, 2, 3, 2});
  writer.write(path);
  expect_error(Code::kDataCorrupt, "per_location: expected mean and spread of a map of 2x3, got 3x2");
}

TEST_F(BundleScoreTest, RefusesNegativeSpreads) {
  measure_spots({2, 2, 2, 3}, -1.0F);
  writer.write(path);
  expect_error(Code::kDataCorrupt, "location arrays of \"spots\": expected finite means and spreads of at least 0");
}

TEST_F(BundleScoreTest, RefusesLocationsThatAreNoArray) {
  measure_spots({2, 2, 2, 3});
  writer.files["location/spots.npy"] = "spots";
  writer.write(path);
  expect_error(Code::kDataCorrupt, "location/spots.npy");
}

TEST_F(BundleScoreTest, RefusesLocationsThatAreMissing) {
  measure_spots({2, 2, 2, 3});
  writer.roles.erase("location_spots");
  writer.files.erase("location/spots.npy");
  writer.write(path);
  expect_error(Code::kDataCorrupt, "files.location_spots: missing");
}

TEST_F(BundleScoreTest, RefusesLocationsOfAComponentThatUsesNone) {
  measure_spots({2, 2, 2, 3});
  writer.manifest["score"]["components"][1]["per_location"] = false;
  writer.write(path);
  expect_error(Code::kDataCorrupt, "files.location_spots: unknown key");
}

TEST_F(BundleTest, LoadsWithoutCalibration) {
  writer.remove_calibration();
  writer.write(path);
  const Bundle bundle = Bundle::load(path).value();
  EXPECT_THAT(bundle.thresholds(Level::kStrip), SizeIs(0));
  EXPECT_THAT(bundle.thresholds(static_cast<Level>(3)), SizeIs(0));
  EXPECT_FALSE(bundle.heatmap_scale(0).has_value());
}

TEST_F(BundleTest, LoadsWithThresholdsCopiedFromAnotherLevel) {
  writer.manifest["calibration"]["levels"]["strip"]["origin"] = "copied_from_patch";
  writer.write(path);
  EXPECT_TRUE(Bundle::load(path).ok());
}

TEST_F(BundleTest, LoadsThroughALinkToTheFolder) {
  writer.write(path);
  std::filesystem::create_symlink(path, folder.path() / "current.vsb");
  EXPECT_TRUE(Bundle::load(folder.path() / "current.vsb").ok());
}

TEST_F(BundleTest, StaysWholeWhenMovedFrom) {
  writer.write(path);
  Bundle bundle = Bundle::load(path).value();
  const Bundle other = std::move(bundle);
  EXPECT_EQ(bundle.name(), other.name());  // NOLINT(bugprone-use-after-move): that is the subject
}

TEST_F(BundleTest, RefusesAMissingFolder) { expect_error(Code::kNotFound, "no bundle folder here"); }

TEST_F(BundleTest, RefusesAFileInPlaceOfTheFolder) {
  BundleWriter::write_file(path, "not a folder");
  expect_error(Code::kDataCorrupt, "expected a bundle folder, got a file");
}

TEST_F(BundleTest, RefusesAnEmptyFolder) {
  std::filesystem::create_directories(path);
  expect_error(Code::kNotFound, "manifest.json: missing");
}

TEST_F(BundleTest, RefusesAMissingFile) {
  for (const char* name : {"manifest.json", "manifest.json.sha256", "model.pb", "fingerprints.npz", "golden/inputs.npy",
                           "golden/output_reconstruction.npy", "golden/scores.npy", "golden/components.npy"}) {
    writer.write(path);
    std::filesystem::remove(path / name);
    expect_error(Code::kNotFound, std::string(name) + ": missing");
  }
}

TEST_F(BundleTest, RefusesAnExtraFile) {
  writer.write(path);
  BundleWriter::write_file(path / "notes.txt", "hello");
  expect_error(Code::kDataCorrupt, "notes.txt: not a file of this bundle");
}

TEST_F(BundleTest, RefusesAnExtraFileAmongTheGoldenOnes) {
  writer.write(path);
  BundleWriter::write_file(path / "golden" / "more.npy", "");
  expect_error(Code::kDataCorrupt, "golden/more.npy: not a file of this bundle");
}

TEST_F(BundleTest, RefusesAnExtraFolder) {
  writer.write(path);
  std::filesystem::create_directory(path / "assets");
  expect_error(Code::kDataCorrupt, "assets: not a file of this bundle");
}

TEST_F(BundleTest, RefusesASymbolicLink) {
  for (const char* name : {"manifest.json", "model.pb", "golden/scores.npy", "golden"}) {
    std::filesystem::remove_all(path);
    std::filesystem::remove_all(folder.path() / "moved");
    writer.write(path);
    replace_by_link(name);
    expect_error(Code::kDataCorrupt, std::string(name) + ": expected a regular file, got a symbolic link");
  }
}

TEST_F(BundleTest, RefusesAPipeWithoutWaitingForIt) {
  writer.write(path);
  std::filesystem::remove(path / "model.pb");
  ASSERT_EQ(::mkfifo((path / "model.pb").c_str(), 0600), 0);
  expect_error(Code::kDataCorrupt, "model.pb: expected a regular file, got something else");
}

TEST_F(BundleTest, RefusesAFolderInPlaceOfAFile) {
  writer.write(path);
  std::filesystem::remove(path / "model.pb");
  std::filesystem::create_directory(path / "model.pb");
  expect_error(Code::kDataCorrupt, "model.pb: expected a regular file, got something else");
}

TEST_F(BundleTest, RefusesAFileInPlaceOfTheGoldenFolder) {
  writer.write(path);
  std::filesystem::remove_all(path / "golden");
  BundleWriter::write_file(path / "golden", "");
  expect_error(Code::kDataCorrupt, "golden: expected a folder, got something else");
}

TEST_F(BundleTest, RefusesAManifestWithAnotherDigest) {
  writer.write(path);
  BundleWriter::write_file(path / "manifest.json", read(path / "manifest.json") + " ");
  expect_error(Code::kDataCorrupt, "manifest.json: expected SHA-256 ");
}

TEST_F(BundleTest, RefusesADigestFileOfAnotherForm) {
  writer.write(path);
  BundleWriter::write_file(path / "manifest.json.sha256", read(path / "manifest.json.sha256").substr(0, 64));
  expect_error(Code::kDataCorrupt, "manifest.json.sha256: expected one line");
  BundleWriter::write_file(path / "manifest.json.sha256", "");
  expect_error(Code::kDataCorrupt, "manifest.json.sha256: expected one line");
}

TEST_F(BundleTest, RefusesAFileOfAnotherSize) {
  writer.write(path);
  BundleWriter::write_file(path / "model.pb", writer.files["model.pb"] + "x");
  expect_error(Code::kDataCorrupt, "model.pb: expected 55 bytes, got 56");
}

TEST_F(BundleTest, RefusesATruncatedFile) {
  writer.write(path);
  std::filesystem::resize_file(path / "golden/inputs.npy", 1000);
  expect_error(Code::kDataCorrupt, "golden/inputs.npy: expected 9344 bytes, got 1000");
}

// One bit of one byte, everywhere in the small files and in every 61st byte of the larger ones.
TEST_F(BundleTest, FindsAFlippedBitAnywhere) {
  writer.write(path);
  ASSERT_TRUE(Bundle::load(path).ok());
  for (const char* name : {"manifest.json", "manifest.json.sha256", "model.pb", "fingerprints.npz", "golden/inputs.npy",
                           "golden/output_reconstruction.npy", "golden/scores.npy", "golden/components.npy"}) {
    const std::string good = read(path / name);
    const std::size_t step = good.size() > 5000 ? 61 : 1;
    for (std::size_t i = 0; i < good.size(); i += step) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
      BundleWriter::write_file(path / name, bad);
      EXPECT_EQ(Bundle::load(path).status().code(), Code::kDataCorrupt) << name << " byte " << i;
    }
    BundleWriter::write_file(path / name, good);
  }
}

TEST_F(BundleTest, RefusesGoldenInputsOfAnotherShape) {
  writer.files["golden/inputs.npy"] = npy({8, 2, 12, 12}, std::vector<float>(16 * 144));
  writer.write(path);
  expect_error(Code::kDataCorrupt, "golden/inputs.npy: expected shape (2, 8, 12, 12), got (8, 2, 12, 12)");
}

TEST_F(BundleTest, RefusesGoldenReconstructionsOfAnotherShape) {
  writer.files["golden/output_reconstruction.npy"] = npy({2, 8, 144}, std::vector<float>(16 * 144));
  writer.write(path);
  expect_error(Code::kDataCorrupt,
               "golden/output_reconstruction.npy: expected shape (2, n, 12, 12), n from 1 to 8, got (2, 8, 144)");
}

TEST_F(BundleTest, RefusesGoldenScoresOfAnotherShape) {
  writer.files["golden/scores.npy"] = npy({16}, std::vector<float>(16));
  writer.write(path);
  expect_error(Code::kDataCorrupt, "golden/scores.npy: expected shape (2, 8), got (16)");
}

TEST_F(BundleTest, RefusesAGoldenValueThatIsNotANumber) {
  std::vector<float> inputs(16 * 144, 0.5F);
  inputs[17] = std::numeric_limits<float>::quiet_NaN();
  writer.files["golden/inputs.npy"] = npy({2, 8, 12, 12}, inputs);
  writer.write(path);
  expect_error(Code::kDataCorrupt, "golden/inputs.npy: expected finite values, got nan at index 17");
}

TEST_F(BundleTest, RefusesAnInfiniteGoldenScore) {
  std::vector<float> scores(16, 0.0F);
  scores[3] = std::numeric_limits<float>::infinity();
  writer.files["golden/scores.npy"] = npy({2, 8}, scores);
  writer.write(path);
  expect_error(Code::kDataCorrupt, "golden/scores.npy: expected finite values, got inf at index 3");
}

TEST_F(BundleTest, RefusesAGoldenFileThatIsNoArray) {
  writer.files["golden/scores.npy"] = "scores";
  writer.write(path);
  expect_error(Code::kDataCorrupt, "golden/scores.npy");
}

}  // namespace
}  // namespace vialsight::test
