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

std::function<void(json&)> second_output(const std::string& name, const char* role) {
  return [=](json& manifest) { manifest["outputs"][name] = {{"role", role}, {"shape", {nullptr, 12, 12, 1}}}; };
}

void many_outputs(json& manifest) {
  for (int i = 0; i < 16; ++i) second_output("map" + std::to_string(i), "map")(manifest);
}

json verdicts(int units, int changed) { return {{"units", units}, {"changed", changed}}; }

// A bundle for another runtime, with `spoil` done to it.
std::function<void(json&)> optimized(const std::function<void(json&)>& spoil) {
  return [spoil](json& manifest) {
    manifest["runtime"] = {{"name", "openvino"}, {"precision", "bfloat16"}};
    manifest["optimization"] = {
        {"created", "2026-11-29T12:00:00Z"},
        {"parent_sha256", kDigestA},
        {"data_sha256", kDigestA},
        {"largest_score_difference", 0.01},
        {"median_score_difference", 0.0},
        {"verdicts", {{"patch", verdicts(720, 2)}, {"strip", verdicts(12, 1)}, {"run", verdicts(12, 0)}}},
        {"max_verdict_changes", 2}};
    spoil(manifest);
  };
}

// The same in int8.
std::function<void(json&)> quantised(const std::function<void(json&)>& spoil) {
  return optimized([spoil](json& manifest) {
    manifest["runtime"]["precision"] = "int8";
    manifest["optimization"]["quantised"] = {{"convolutions", 20}, {"patches", 1920}};
    spoil(manifest);
  });
}

const std::string kUpperCaseDigest(64, 'A');

const Case kCases[] = {
    {"FormatVersionOne", set("/format_version", 1),
     "format_version: expected 2, got 1; freeze and calibrate it again from its run", Code::kUnsupported},
    {"OtherFormatVersion", set("/format_version", 3), "format_version: expected 2, got 3", Code::kUnsupported},
    {"TextFormatVersion", set("/format_version", "2"), "manifest.json: format_version"},
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
    {"MethodMissing", erase("", "method"), "manifest.json: method: missing"},
    {"MethodThatIsNoName", set("/method", "../pca"), "manifest.json: method: expected 1 to 64 letters"},
    {"RuntimeUnknown", set("/runtime/name", "onnx"), "runtimes this library knows (tensorflow, openvino), got \"onnx\"",
     Code::kUnsupported},
    {"RuntimeOfOtherPrecision", set("/runtime/precision", "int4"),
     "runtime.precision: expected one of float32, bfloat16, int8, got \"int4\""},
    {"RuntimeWithoutOptimization", set("/runtime/name", "openvino"), "manifest.json: optimization: missing"},
    {"PrecisionWithoutOptimization", set("/runtime/precision", "bfloat16"), "manifest.json: optimization: missing"},
    {"OptimizationNull", optimized(set("/optimization", nullptr)), "optimization: expected an object"},
    {"OptimizationUnknownKey", optimized(set("/optimization/by", "me")), "optimization.by: unknown key"},
    {"OptimizationWithoutParent", optimized(erase("/optimization", "parent_sha256")), "optimization.parent_sha256"},
    {"OptimizationWithoutData", optimized(erase("/optimization", "data_sha256")), "optimization.data_sha256: missing"},
    {"OptimizationWithoutTime", optimized(set("/optimization/created", "today")), "optimization.created: expected"},
    {"OptimizationDifferenceNegative", optimized(set("/optimization/largest_score_difference", -1e-6)),
     "optimization.largest_score_difference: expected a number from 0 on"},
    {"OptimizationDifferenceAsText", optimized(set("/optimization/median_score_difference", "0")),
     "optimization.median_score_difference: expected a number"},
    {"OptimizationLevelMissing", optimized(erase("/optimization/verdicts", "run")), "verdicts.run: missing"},
    {"OptimizationMoreChangedThanThere", optimized(set("/optimization/verdicts/strip/changed", 13)),
     "verdicts.strip.changed"},
    {"OptimizationBoundNegative", optimized(set("/optimization/max_verdict_changes", -1)),
     "optimization.max_verdict_changes"},
    {"OptimizationOfIntegersWithoutTheirNumbers", optimized(set("/runtime/precision", "int8")),
     "optimization.quantised: missing"},
    {"OptimizationWithIntegersThatAreNone", optimized(set("/optimization/quantised", json::object())),
     "optimization.quantised: unknown key"},
    {"QuantisedNoConvolution", quantised(set("/optimization/quantised/convolutions", 0)), "quantised.convolutions"},
    {"QuantisedFromNoPatches", quantised(set("/optimization/quantised/patches", 0)), "quantised.patches"},
    {"QuantisedUnknownKey", quantised(set("/optimization/quantised/bits", 8)), "quantised.bits: unknown key"},
    {"RuntimeUnknownKey", set("/runtime/threads", 2), "runtime.threads: unknown key"},
    {"LocateNotNull", set("/locate", json::object()), "manifest.json: locate: expected null"},
    {"LocateMissing", erase("", "locate"), "manifest.json: locate: missing"},
    {"OutputsMissing", erase("", "outputs"), "manifest.json: outputs: missing"},
    {"OutputsEmpty", set("/outputs", json::object()), "outputs: expected 1 to 16 outputs, got 0"},
    {"OutputsTooMany", many_outputs, "outputs: expected 1 to 16 outputs, got 17"},
    {"OutputsAsAList", set("/outputs", json::array({"reconstruction"})), "outputs: expected an object"},
    {"OutputUnknownKey", set("/outputs/reconstruction/dtype", "float32"), "outputs.reconstruction.dtype: unknown key"},
    {"OutputRoleUnknown", set("/outputs/reconstruction/role", "latent"),
     "outputs.reconstruction.role: expected \"reconstruction\" or \"map\", got \"latent\""},
    {"OutputShapeWithFixedBatch", set("/outputs/reconstruction/shape/0", 4), "outputs.reconstruction.shape: expected"},
    {"OutputShapeOfThreeAxes", set("/outputs/reconstruction/shape", {nullptr, 12, 12}), "outputs.reconstruction.shape"},
    {"OutputShapeWithTwoChannels", set("/outputs/reconstruction/shape/3", 2), "outputs.reconstruction.shape"},
    {"OutputShapeZero", set("/outputs/reconstruction/shape/1", 0), "outputs.reconstruction.shape"},
    {"OutputShapeHuge", set("/outputs/reconstruction/shape/2", 16385), "outputs.reconstruction.shape"},
    {"OutputShapeFraction", set("/outputs/reconstruction/shape/2", 12.0), "outputs.reconstruction.shape"},
    {"ReconstructionOfOtherSize", set("/outputs/reconstruction/shape/1", 16),
     "outputs.reconstruction.shape: expected the shape of a patch, [null,12,12,1], got [null,16,12,1]"},
    {"TwoReconstructions", second_output("second", "reconstruction"), "outputs.second: expected at most one"},
    {"OutputNameThatIsNone", second_output("a b", "map"), "outputs.a b.name: expected 1 to 64 letters"},
    {"OutputNameEmpty", second_output("", "map"), "name: expected 1 to 64 letters"},
    {"OutputNameWithIndex", second_output("map:0", "map"), "name: expected 1 to 64 letters"},
    {"OutputWithoutGoldenFile", second_output("map", "map"), "files.golden_output_map: missing"},
    {"OtherScaling", set("/preprocess/scaling", "minus_one_one"), "preprocess.scaling"},
    {"OtherResize", set("/preprocess/resize", "bilinear"), "preprocess.resize"},
    {"ScoreMissing", erase("", "score"), "manifest.json: score: missing"},
    {"ScoreText", set("/score", "ssim"), "manifest.json: score: expected an object"},
    {"ScoreUnknownKey", set("/score/mode", 1), "manifest.json: score.mode: unknown key"},
    {"ScoreOtherComponent", set("/score/components/0/component", "mse"),
     "score.components[0].component: expected one of"},
    {"ScoreOtherConstant", set("/score/components/0/k1", 0.02), "manifest.json: score.components[0].k1: expected"},
    {"ScoreOfAnUnknownComponent", set("/score/decide/0", "other"), "manifest.json: score.decide: expected names"},
    {"ScoreNormalisationOfOne", set("/score/normalisation", json::array()), "manifest.json: score.normalisation"},
    {"ScoreWithoutReconstruction", set("/outputs/reconstruction/role", "map"),
     "score.components[0].component: expected a network with an output of role reconstruction"},
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
    {"CalibrationNoneNotLocated", set("/calibration/not_located", 0), "calibration.not_located: expected an integer"},
    {"CalibrationProductNumber", set("/calibration/products", {1}), "calibration.products"},
    {"GoldenTooFew", set("/golden/patches_per_region", 7), "golden.patches_per_region: expected an integer from 8"},
    {"GoldenToleranceZero", set("/golden/tolerance", 0.0), "golden.tolerance: expected a number above 0"},
    {"GoldenToleranceTooLarge", set("/golden/tolerance", 0.1), "golden.tolerance"},
    {"ProvenanceMissingSeed", erase("/provenance", "seed"), "provenance.seed: missing"},
    {"ProvenanceSeedText", set("/provenance/seed", "7"), "provenance.seed"},
    {"ProvenanceGitNumber", set("/provenance/git", 1), "provenance.git"},
    {"ProvenanceDataNoDigest", set("/provenance/data_sha256", ""), "provenance.data_sha256"},
    {"ProvenanceProductsMissing", erase("/provenance", "training_products"), "provenance.training_products: missing"},
    {"ProvenanceRuntimeMissing", erase("/provenance", "runtime_version"), "provenance.runtime_version: missing"},
    {"FilesMissingEntry", erase("/files", "model"), "files.model: missing"},
    {"FilesExtraEntry", set("/files/notes", json::object()), "files.notes: unknown key"},
    {"FilesByName", set("/files/model.pb", json::object()), "files.model.pb: unknown key"},
    {"FileUnknownKey", set("/files/model/mode", 7), "files.model.mode: unknown key"},
    {"FileNameMissing", erase("/files/model", "name"), "files.model.name: missing"},
    {"FileNameEmpty", set("/files/model/name", ""), "files.model.name: expected a file's name"},
    {"FileNameAbove", set("/files/model/name", "../model.pb"), "files.model.name: expected a file's name"},
    {"FileNameAbsolute", set("/files/model/name", "/etc/passwd"), "files.model.name: expected a file's name"},
    {"FileNameHidden", set("/files/model/name", ".model"), "files.model.name: expected a file's name"},
    {"FileNameTooDeep", set("/files/model/name", "a/b/model.pb"), "files.model.name: expected a file's name"},
    {"FileNameOfAFolder", set("/files/model/name", "golden/"), "files.model.name: expected a file's name"},
    {"FileNameWithASpace", set("/files/model/name", "a model"), "files.model.name: expected a file's name"},
    {"FileNameTooLong", set("/files/model/name", std::string(129, 'm')), "files.model.name: expected a file's name"},
    {"FileNameOfTheManifest", set("/files/model/name", "manifest.json"), "files.model.name: expected a file's name"},
    {"FileNameOfTheDigest", set("/files/model/name", "manifest.json.sha256"), "files.model.name"},
    {"FileNameTwice", set("/files/model/name", "golden/scores.npy"), "expected a file of its own"},
    {"FileNameOfNoFile", set("/files/model/name", "other.pb"), "model.pb: not a file of this bundle"},
    {"FileSizeZero", set("/files/model/size", 0), "files.model.size"},
    {"FileSizeNegative", set("/files/model/size", -1), "files.model.size"},
    {"FileSizeBeyondTwoGiB", set("/files/model/size", 1LL << 31), "files.model.size"},
    {"FileSizeFraction", set("/files/model/size", 55.5), "files.model.size"},
    {"FileOfOtherSize", set("/files/model/size", 54), "model.pb: expected 54 bytes, got 55"},
    {"FileDigestNoDigest", set("/files/model/sha256", "xyz"), "files.model.sha256: expected 64"},
    {"FileOfOtherDigest", set("/files/model/sha256", kDigestA), "model.pb: expected SHA-256 aaaa"},
};

TEST_P(BundleManifestTest, IsRefused) {
  const Status status = load(GetParam().spoil);
  EXPECT_EQ(status.code(), GetParam().code) << status.message();
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(Malformed, BundleManifestTest, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_F(BundleManifestTest, CalibrationMayHaveLeftOutStrips) {
  EXPECT_TRUE(load(set("/calibration/not_located", 2)).ok());
}

TEST_F(BundleManifestTest, AnotherRuntimeSaysHowFarItIsFromTheOriginal) {
  const auto nothing = [](json&) {};
  EXPECT_TRUE(load(optimized(nothing)).ok()) << load(optimized(nothing)).message();
  EXPECT_TRUE(load(quantised(nothing)).ok()) << load(quantised(nothing)).message();
}

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
