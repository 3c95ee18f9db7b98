#include "bundle/bundle_manifest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/json.h"
#include "base/messages.h"
#include "bundle/bundle_files.h"
#include "imaging/layout_json.h"
#include "vialsight/ssim.h"

namespace vialsight {
namespace {

using nlohmann::json;

constexpr std::int64_t kFormatVersion = 1;
constexpr int kMinGoldenPerRegion = 8;
constexpr int kMaxGoldenPerRegion = 4096;  // keeps the arrays' sizes far from overflow
// A tolerance above this would let a different model pass: thresholds of neighbouring levels differ by 7e-5.
constexpr double kMaxTolerance = 1e-3;
// Protocol buffers hold at most 2 GiB; nothing in a bundle may be larger.
constexpr std::int64_t kMaxFileSize = std::numeric_limits<std::int32_t>::max();
constexpr int kMaxRuns = 1'000'000;
constexpr std::int64_t kMaxInteger = std::numeric_limits<std::int64_t>::max();

std::string text_of(const json& value) { return printable(value.dump(-1, ' ', true, json::error_handler_t::replace)); }

// "2026-11-22T02:30:00Z".
bool is_utc_time(std::string_view text) noexcept {
  constexpr std::string_view kPattern = "dddd-dd-ddTdd:dd:ddZ";
  return std::equal(text.begin(), text.end(), kPattern.begin(), kPattern.end(),
                    [](char c, char expected) { return expected == 'd' ? c >= '0' && c <= '9' : c == expected; });
}

std::string require_name(ObjectReader& reader, std::string_view key) {
  std::string text = reader.require_string(key);
  if (text.empty()) reader.fail(key, "a text", "an empty one");
  return text;
}

std::string require_sha256(ObjectReader& reader, std::string_view key) {
  std::string text = reader.require_string(key);
  if (!is_sha256(text)) reader.fail(key, "64 lower-case hexadecimal digits", in_quotes(text));
  return text;
}

void require_time(ObjectReader& reader, std::string_view key) {
  const std::string text = reader.require_string(key);
  if (!is_utc_time(text)) reader.fail(key, "a time as 2026-01-31T23:59:59Z", in_quotes(text));
}

// A name TensorFlow takes for a node, without an output index.
std::string require_node_name(ObjectReader& reader, std::string_view key) {
  std::string text = require_name(reader, key);
  if (text.find(':') != std::string::npos) reader.fail(key, "a node's name without \":0\"", in_quotes(text));
  return text;
}

// `count` finite numbers under `key`; names the first entry that is none.
std::vector<double> require_finite(ObjectReader& reader, std::string_view key, std::size_t count) {
  const json& array = reader.require_array(key);
  if (array.size() != count) {
    reader.fail(key, std::to_string(count) + " numbers, one per region", std::to_string(array.size()));
    return {};
  }
  std::vector<double> numbers;
  for (const json& entry : array) {
    if (!entry.is_number() || !std::isfinite(entry.get<double>())) {
      reader.fail(std::string(key) + "[" + std::to_string(numbers.size()) + "]", "a finite number", text_of(entry));
      return {};
    }
    numbers.push_back(entry.get<double>());
  }
  return numbers;
}

void require_rate(ObjectReader& reader, std::string_view key, bool nullable) {
  const json* value = reader.require_nullable(key);
  if (value == nullptr) {
    if (!nullable) reader.fail(key, "a number from 0 to 1", "null");
    return;
  }
  const bool valid = value->is_number() && value->get<double>() >= 0.0 && value->get<double>() <= 1.0;
  if (!valid) reader.fail(key, "a number from 0 to 1", text_of(*value));
}

// {"name": "patches", "shape": [null, P, P, 1], "dtype": "float32"}
std::string read_input(const json& value, const std::string& path, int patch_size, Status& status) {
  ObjectReader reader(value, path);
  std::string name = require_node_name(reader, "name");
  const json expected = {nullptr, patch_size, patch_size, 1};
  const json& shape = reader.require_array("shape");
  if (shape != expected) reader.fail("shape", expected.dump(), text_of(shape));
  reader.require_constant("dtype", "float32");
  status = reader.finish();
  return name;
}

std::string read_output(const json& value, const std::string& path, Status& status) {
  ObjectReader reader(value, path);
  std::string name = require_node_name(reader, "name");
  status = reader.finish();
  return name;
}

Status check_preprocess(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  reader.require_constant("scaling", "unit");
  reader.require_constant("resize", "bilinear_antialias");
  return reader.finish();
}

// The one definition this library computes (SPEC §5).
Status check_score(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  reader.require_constant("name", "one_minus_ssim");
  reader.require_constant("window", "gaussian");
  reader.require_constant("window_size", static_cast<double>(kSsimWindow));
  reader.require_constant("sigma", kSsimSigma);
  reader.require_constant("padding", "valid");
  reader.require_constant("covariance", "population");
  reader.require_constant("k1", kSsimK1);
  reader.require_constant("k2", kSsimK2);
  reader.require_constant("dynamic_range", 1.0);
  reader.require_constant("reduction", "mean");
  return reader.finish();
}

Status read_thresholds(const json& value, const std::string& path, bool calibrated, Manifest& manifest) {
  ObjectReader reader(value, path);
  constexpr std::array<std::string_view, 3> kLevels = {"patch", "strip", "run"};
  for (std::size_t level = 0; level < kLevels.size(); ++level) {
    if (reader.require_nullable(kLevels[level]) == nullptr) continue;
    if (!calibrated)
      reader.fail(kLevels[level], "null, because \"calibration\" is null", "thresholds of unknown origin");
    manifest.thresholds[level] = require_finite(reader, kLevels[level], manifest.layout.region_count());
  }
  return reader.finish();
}

Status read_heatmap(const json& value, const std::string& path, Manifest& manifest) {
  const std::size_t regions = manifest.layout.region_count();
  ObjectReader reader(value, path);
  const std::vector<double> vmin = require_finite(reader, "vmin", regions);
  const std::vector<double> vmax = require_finite(reader, "vmax", regions);
  if (Status status = reader.finish(); !status.ok()) return status;
  for (std::size_t region = 0; region < regions; ++region) {
    const HeatmapScale scale{static_cast<float>(vmin[region]), static_cast<float>(vmax[region])};
    const bool valid = std::isfinite(scale.vmin) && std::isfinite(scale.vmax) && scale.vmax > scale.vmin;
    if (!valid) reader.fail("vmax[" + std::to_string(region) + "]", "a number above vmin", json(vmax[region]).dump());
    manifest.heatmap.push_back(scale);
  }
  return reader.finish();
}

// What a fit does on the units it was fitted to.
void require_fit(ObjectReader& reader) {
  (void)reader.require_integer("nominal", 0, kMaxInteger);
  (void)reader.require_integer("defective", 0, kMaxInteger);
  require_rate(reader, "detection_rate", true);
  require_rate(reader, "false_reject_rate", false);
  require_rate(reader, "balanced_accuracy", true);
  require_rate(reader, "false_reject_bound", true);
}

Status check_level(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  const std::string origin = reader.require_string("origin");
  const bool known = origin == "fitted" || origin == "copied_from_patch" || origin == "copied_from_strip";
  if (!known) reader.fail("origin", R"("fitted", "copied_from_patch" or "copied_from_strip")", in_quotes(origin));
  require_fit(reader);
  require_rate(reader, "optimality_gap", false);
  return reader.finish();
}

Status check_levels(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  for (const std::string_view level : {"patch", "strip", "run"}) {
    reader.merge(check_level(reader.require_object(level), reader.path_of(level)));
  }
  return reader.finish();
}

Status check_run_rule(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  const int agree = reader.require_int("agree", 1, kMaxRuns);
  const int runs = reader.require_int("runs", 1, kMaxRuns);
  if (agree > runs) reader.fail("agree", "at most \"runs\"", std::to_string(agree));
  return reader.finish();
}

Status check_region_record(const json& value, const std::string& path, const std::string& region) {
  ObjectReader reader(value, path);
  reader.require_constant("region", region);
  require_fit(reader);
  return reader.finish();
}

Status check_region_records(const json& records, const std::string& path, const Layout& layout) {
  if (records.size() != layout.region_count()) {
    return {Code::kDataCorrupt, path + ": expected one entry per region, " + std::to_string(layout.region_count()) +
                                    ", got " + std::to_string(records.size())};
  }
  for (std::size_t region = 0; region < records.size(); ++region) {
    const std::string record_path = path + "[" + std::to_string(region) + "]";
    Status status = check_region_record(records[region], record_path, layout.regions[region]);
    if (!status.ok()) return status;
  }
  return {};
}

Status check_calibration(const json& value, const std::string& path, const Layout& layout) {
  ObjectReader reader(value, path);
  (void)require_name(reader, "objective");
  require_time(reader, "created");
  (void)require_sha256(reader, "data_sha256");
  (void)require_sha256(reader, "parent_sha256");
  reader.merge(check_levels(reader.require_object("levels"), reader.path_of("levels")));
  reader.merge(check_run_rule(reader.require_object("run_rule"), reader.path_of("run_rule")));
  reader.merge(check_region_records(reader.require_array("regions"), reader.path_of("regions"), layout));
  (void)reader.require_strings("products");
  return reader.finish();
}

Status check_provenance(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  (void)require_name(reader, "vialsight");
  (void)require_name(reader, "tensorflow");
  if (reader.require_nullable("git") != nullptr) (void)require_name(reader, "git");
  (void)require_sha256(reader, "config_sha256");
  (void)require_sha256(reader, "data_sha256");
  (void)reader.require_integer("seed", std::numeric_limits<std::int64_t>::min(), kMaxInteger);
  (void)reader.require_strings("training_products");
  return reader.finish();
}

Status read_golden(const json& value, const std::string& path, Manifest& manifest) {
  ObjectReader reader(value, path);
  manifest.golden_per_region =
      static_cast<std::size_t>(reader.require_int("patches_per_region", kMinGoldenPerRegion, kMaxGoldenPerRegion));
  manifest.tolerance = reader.require_number("tolerance");
  const bool valid = manifest.tolerance > 0.0 && manifest.tolerance <= kMaxTolerance;
  if (!valid) reader.fail("tolerance", "a number above 0 and at most 0.001", json(manifest.tolerance).dump());
  return reader.finish();
}

FileEntry read_file_entry(ObjectReader& files, const char* name) {
  ObjectReader reader(files.require_object(name), files.path_of(name));
  FileEntry entry{name, require_sha256(reader, "sha256"),
                  static_cast<std::uint64_t>(reader.require_integer("size", 1, kMaxFileSize))};
  files.merge(reader.finish());
  return entry;
}

Status read_files(const json& value, const std::string& path, Manifest& manifest) {
  ObjectReader reader(value, path);
  constexpr std::array<const char*, 5> kNames = {kModelName, kGoldenInputsName, kGoldenReconstructionsName,
                                                 kGoldenScoresName, kFingerprintsName};
  for (std::size_t i = 0; i < kNames.size(); ++i) manifest.files[i] = read_file_entry(reader, kNames[i]);
  return reader.finish();
}

// Before everything else: the fields of another version are not ours to judge.
Status check_format_version(const json& document) {
  if (!document.is_object() || !document.contains("format_version")) return {};
  const json& version = document["format_version"];
  if (!version.is_number_integer() || version == kFormatVersion) return {};
  return {Code::kUnsupported, "manifest.json: format_version: expected " + std::to_string(kFormatVersion) + ", got " +
                                  text_of(version) + "; load it with the vialsight that wrote it, or freeze it again"};
}

Status read_layout(const json& value, const std::string& path, Layout& layout) {
  Result<Layout> parsed = layout_from_json_value(value, path);
  if (parsed.ok()) layout = std::move(parsed).value();
  return parsed.status();
}

// What the graph takes and gives.
void read_interface(ObjectReader& reader, Manifest& manifest) {
  Status status;
  const json& input = reader.require_object("input");
  manifest.input_name = read_input(input, reader.path_of("input"), manifest.layout.patch_size, status);
  reader.merge(status);
  manifest.output_name = read_output(reader.require_object("output"), reader.path_of("output"), status);
  reader.merge(status);
  reader.merge(check_preprocess(reader.require_object("preprocess"), reader.path_of("preprocess")));
  reader.merge(check_score(reader.require_object("score"), reader.path_of("score")));
}

// What calibration adds; all of it null before.
void read_calibration(ObjectReader& reader, Manifest& manifest) {
  const json* calibration = reader.require_nullable("calibration");
  if (calibration != nullptr) {
    reader.merge(check_calibration(*calibration, reader.path_of("calibration"), manifest.layout));
  }
  const json& thresholds = reader.require_object("thresholds");
  reader.merge(read_thresholds(thresholds, reader.path_of("thresholds"), calibration != nullptr, manifest));
  const json* heatmap = reader.require_nullable("heatmap");
  if (heatmap != nullptr) reader.merge(read_heatmap(*heatmap, reader.path_of("heatmap"), manifest));
}

}  // namespace

bool is_sha256(std::string_view text) noexcept {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<Manifest> parse_manifest(std::string_view json_text) {
  const Result<json> document = parse_strict_json(json_text, kManifestName);
  if (!document.ok()) return document.status();
  if (Status status = check_format_version(document.value()); !status.ok()) return status;

  Manifest manifest;
  ObjectReader reader(document.value(), std::string(kManifestName) + ":");
  (void)reader.require_integer("format_version", kFormatVersion, kFormatVersion);
  manifest.name = require_name(reader, "name");
  require_time(reader, "created");
  reader.merge(read_layout(reader.require_object("layout"), reader.path_of("layout"), manifest.layout));
  read_interface(reader, manifest);
  read_calibration(reader, manifest);
  reader.merge(read_golden(reader.require_object("golden"), reader.path_of("golden"), manifest));
  reader.merge(check_provenance(reader.require_object("provenance"), reader.path_of("provenance")));
  reader.merge(read_files(reader.require_object("files"), reader.path_of("files"), manifest));
  if (Status status = reader.finish(); !status.ok()) return status;
  return manifest;
}

}  // namespace vialsight
