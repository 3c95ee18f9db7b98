// One test per malformed manifest, named after what is wrong with it. All are sealed: their digests are right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>

#include "bundle_writer.h"
#include "temporary_folder.h"
#include "vialsight/bundle.h"

namespace vialsight::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

struct Case {
  const char* name;
  std::function<void(json&)> spoil;
  const char* message;  // part of the error
  Code code = Code::kDataCorrupt;
};

class BundleManifestTest : public ::testing::TestWithParam<Case> {
 protected:
  Status load(const std::function<void(json&)>& spoil) {
    writer_.write(path_);
    spoil(writer_.manifest);
    writer_.write(path_, false);
    return Bundle::load(path_).status();
  }
  Status load_text(const std::string& text) {
    writer_.write(path_);
    BundleWriter::write_manifest(path_, text);
    return Bundle::load(path_).status();
  }
  std::string good_text() {
    writer_.write(path_);
    return writer_.manifest.dump();
  }

 private:
  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "small.vsb";
  BundleWriter writer_;
};

std::function<void(json&)> set(const char* pointer, json value) {
  return [=](json& manifest) { manifest[json::json_pointer(pointer)] = value; };
}

std::function<void(json&)> erase(const char* parent, const char* key) {
  return [=](json& manifest) { manifest[json::json_pointer(parent)].erase(key); };
}

const std::string kUpperCaseDigest(64, 'A');

const Case kCases[] = {
    {"OtherFormatVersion", set("/format_version", 2), "format_version: expected 1, got 2", Code::kUnsupported},
    {"TextFormatVersion", set("/format_version", "1"), "manifest.json: format_version"},
    {"MissingFormatVersion", erase("", "format_version"), "manifest.json: format_version: missing"},
    {"UnknownKey", set("/extra", 1), "manifest.json: extra: unknown key"},
    {"EmptyName", set("/name", ""), "manifest.json: name: expected a text"},
    {"CreatedWithoutTime", set("/created", "2026-11-22"), "manifest.json: created: expected a time"},
    {"CreatedInLocalTime", set("/created", "2026-11-22T02:30:00+1"), "manifest.json: created"},
    {"CreatedWithACharacterBelowDigits", set("/created", "2026-11-22T02:30:/0Z"), "manifest.json: created"},
    {"CreatedWithACharacterAboveDigits", set("/created", "2026-11-22T02:30::0Z"), "manifest.json: created"},
    {"LayoutMissing", erase("", "layout"), "manifest.json: layout: missing"},
    {"LayoutBoxOutsideFrame", set("/layout/vials/0/0/0", 39), "manifest.json: layout.vials[0][0]: box"},
    {"LayoutUnknownKey", set("/layout/color", "gray"), "manifest.json: layout.color: unknown key"},
    {"InputNameWithIndex", set("/input/name", "patches:0"), "input.name: expected a node's name without"},
    {"InputShapeOfOtherSize", set("/input/shape/1", 16), "input.shape: expected [null,12,12,1], got [null,16,12,1]"},
    {"InputShapeWithFixedBatch", set("/input/shape/0", 4), "input.shape"},
    {"InputShapeWithThreeChannels", set("/input/shape/3", 3), "input.shape"},
    {"InputOfDoubles", set("/input/dtype", "float64"), "input.dtype: expected \"float32\", got \"float64\""},
    {"OutputUnknownKey", set("/output/shape", nullptr), "output.shape: unknown key"},
    {"OtherScaling", set("/preprocess/scaling", "minus_one_one"), "preprocess.scaling"},
    {"OtherResize", set("/preprocess/resize", "bilinear"), "preprocess.resize"},
    {"OtherScore", set("/score/name", "mse"), "score.name: expected \"one_minus_ssim\", got \"mse\""},
    {"OtherWindow", set("/score/window", "uniform"), "score.window"},
    {"OtherWindowSize", set("/score/window_size", 7), "score.window_size"},
    {"OtherSigma", set("/score/sigma", 1.0), "score.sigma"},
    {"OtherPadding", set("/score/padding", "same"), "score.padding"},
    {"SampleCovariance", set("/score/covariance", "sample"), "score.covariance"},
    {"OtherK1", set("/score/k1", 0.02), "score.k1"},
    {"OtherK2", set("/score/k2", 0.04), "score.k2"},
    {"OtherDynamicRange", set("/score/dynamic_range", 2.0), "score.dynamic_range"},
    {"OtherReduction", set("/score/reduction", "max"), "score.reduction"},
    {"MissingK2", erase("/score", "k2"), "score.k2: missing"},
    {"ThresholdsOfUnknownLevel", set("/thresholds/line", nullptr), "thresholds.line: unknown key"},
    {"ThresholdsMissingLevel", erase("/thresholds", "run"), "thresholds.run: missing"},
    {"ThresholdNull", set("/thresholds/strip/1", nullptr), "thresholds.strip[1]: expected a finite number, got null"},
    {"ThresholdText", set("/thresholds/strip/0", "0.1"), "thresholds.strip[0]"},
    {"ThresholdsTooFew", set("/thresholds/patch", {0.1}),
     "thresholds.patch: expected 2 numbers, one per region, got 1"},
    {"ThresholdsTooMany", set("/thresholds/patch", {0.1, 0.1, 0.1}), "thresholds.patch"},
    {"ThresholdsWithoutCalibration", set("/calibration", nullptr), "thresholds.patch: expected null"},
    {"HeatmapScaleUpsideDown", set("/heatmap/vmax/1", -0.1), "heatmap.vmax[1]: expected a number above vmin"},
    {"HeatmapScaleEmpty", set("/heatmap/vmax/0", 0.0), "heatmap.vmax[0]"},
    {"HeatmapScaleBeyondFloat", set("/heatmap/vmax/0", 1e300), "heatmap.vmax[0]"},
    {"HeatmapScaleBelowFloat", set("/heatmap/vmin/1", -1e300), "heatmap.vmax[1]"},
    {"HeatmapTooFew", set("/heatmap/vmin", json::array()), "heatmap.vmin: expected 2 numbers"},
    {"CalibrationUnknownKey", set("/calibration/note", "x"), "calibration.note: unknown key"},
    {"CalibrationMissingObjective", erase("/calibration", "objective"), "calibration.objective: missing"},
    {"CalibrationParentNoDigest", set("/calibration/parent_sha256", "abc"), "calibration.parent_sha256: expected 64"},
    {"CalibrationDigestInUpperCase", set("/calibration/data_sha256", kUpperCaseDigest), "calibration.data_sha256"},
    {"CalibrationUnknownLevelOrigin", set("/calibration/levels/run/origin", "guessed"),
     "calibration.levels.run.origin: expected"},
    {"CalibrationLevelMissing", erase("/calibration/levels", "strip"), "calibration.levels.strip: missing"},
    {"CalibrationLevelNoObject", set("/calibration/levels/patch", "fitted"), "calibration.levels.patch: expected"},
    {"CalibrationGapAboveOne", set("/calibration/levels/run/optimality_gap", 1.5),
     "calibration.levels.run.optimality_gap: expected"},
    {"CalibrationBoundNegative", set("/calibration/regions/0/false_reject_bound", -0.1),
     "calibration.regions[0].false_reject_bound: expected"},
    {"CalibrationRuleZero", set("/calibration/run_rule/agree", 0), "calibration.run_rule.agree: expected"},
    {"CalibrationRuleMoreThanRuns", set("/calibration/run_rule/agree", 11), "calibration.run_rule.agree: expected"},
    {"CalibrationRegionsTooFew", set("/calibration/regions", json::array()), "calibration.regions: expected one entry"},
    {"CalibrationRegionOfOtherName", set("/calibration/regions/1/region", "side"), "calibration.regions[1].region"},
    {"CalibrationNegativeCount", set("/calibration/regions/0/nominal", -1), "calibration.regions[0].nominal"},
    {"CalibrationRateAboveOne", set("/calibration/regions/0/detection_rate", 1.5), "detection_rate: expected a number"},
    {"CalibrationRateText", set("/calibration/regions/0/detection_rate", "0.9"), "detection_rate: expected a number"},
    {"CalibrationRateNegative", set("/calibration/regions/1/detection_rate", -0.5),
     "detection_rate: expected a number"},
    {"CalibrationRateNull", set("/calibration/regions/0/false_reject_rate", nullptr), "false_reject_rate"},
    {"CalibrationProductNumber", set("/calibration/products", {1}), "calibration.products"},
    {"GoldenTooFew", set("/golden/patches_per_region", 7), "golden.patches_per_region: expected an integer from 8"},
    {"GoldenToleranceZero", set("/golden/tolerance", 0.0), "golden.tolerance: expected a number above 0"},
    {"GoldenToleranceTooLarge", set("/golden/tolerance", 0.1), "golden.tolerance"},
    {"ProvenanceMissingSeed", erase("/provenance", "seed"), "provenance.seed: missing"},
    {"ProvenanceSeedText", set("/provenance/seed", "7"), "provenance.seed"},
    {"ProvenanceGitNumber", set("/provenance/git", 1), "provenance.git"},
    {"ProvenanceDataNoDigest", set("/provenance/data_sha256", ""), "provenance.data_sha256"},
    {"ProvenanceProductsMissing", erase("/provenance", "training_products"), "provenance.training_products: missing"},
    {"FilesMissingEntry", erase("/files", "model.pb"), "files.model.pb: missing"},
    {"FilesExtraEntry", set("/files/notes.txt", json::object()), "files.notes.txt: unknown key"},
    {"FileUnknownKey", set("/files/model.pb/mode", 7), "files.model.pb.mode: unknown key"},
    {"FileSizeZero", set("/files/model.pb/size", 0), "files.model.pb.size"},
    {"FileSizeNegative", set("/files/model.pb/size", -1), "files.model.pb.size"},
    {"FileSizeBeyondTwoGiB", set("/files/model.pb/size", 1LL << 31), "files.model.pb.size"},
    {"FileSizeFraction", set("/files/model.pb/size", 55.5), "files.model.pb.size"},
    {"FileOfOtherSize", set("/files/model.pb/size", 54), "model.pb: expected 54 bytes, got 55"},
    {"FileDigestNoDigest", set("/files/model.pb/sha256", "xyz"), "files.model.pb.sha256: expected 64"},
    {"FileOfOtherDigest", set("/files/model.pb/sha256", kDigestA), "model.pb: expected SHA-256 aaaa"},
};

TEST_P(BundleManifestTest, IsRefused) {
  const Status status = load(GetParam().spoil);
  EXPECT_EQ(status.code(), GetParam().code) << status.message();
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(Malformed, BundleManifestTest, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_F(BundleManifestTest, DuplicateKeyIsRefused) {
  std::string text = good_text();
  text.insert(text.find("\"name\""), "\"name\": \"other\", ");
  const Status status = load_text(text);
  EXPECT_EQ(status.code(), Code::kDataCorrupt);
  EXPECT_THAT(status.message(), HasSubstr("\"name\" appears twice"));
}

TEST_F(BundleManifestTest, TrailingTextIsRefused) {
  EXPECT_EQ(load_text(good_text() + "{}").code(), Code::kDataCorrupt);
}

TEST_F(BundleManifestTest, ThresholdNanIsRefused) {
  std::string text = good_text();
  text.replace(text.find("0.25"), 4, "NaN");
  EXPECT_THAT(load_text(text).message(), HasSubstr("not valid JSON"));
}

TEST_F(BundleManifestTest, ThresholdOverflowIsRefused) {
  std::string text = good_text();
  text.replace(text.find("0.25"), 4, "1e999");
  EXPECT_EQ(load_text(text).code(), Code::kDataCorrupt);
}

TEST_F(BundleManifestTest, ArrayIsRefused) {
  EXPECT_THAT(load_text("[]").message(), HasSubstr("manifest.json: expected an object"));
}

TEST_F(BundleManifestTest, EmptyTextIsRefused) { EXPECT_EQ(load_text("").code(), Code::kDataCorrupt); }

}  // namespace
}  // namespace vialsight::test
