#include "bundle/bundle_manifest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "base/json.h"
#include "bundle/bundle_files.h"
#include "bundle/bundle_locator.h"
#include "bundle/calibration_record.h"
#include "bundle/manifest_fields.h"
#include "bundle/optimization_record.h"
#include "imaging/layout_json.h"
#include "scoring/score_json.h"

namespace vialsight {
namespace {

using nlohmann::json;

constexpr std::int64_t kFormatVersion = 2;
constexpr int kMinGoldenPerRegion = 8;
constexpr int kMaxGoldenPerRegion = 4096;  // keeps the arrays' sizes far from overflow
// A tolerance above this would let a different model pass: thresholds of neighbouring levels differ by 7e-5.
constexpr double kMaxTolerance = 1e-3;
// Protocol buffers hold at most 2 GiB; nothing in a bundle may be larger.
constexpr std::int64_t kMaxFileSize = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kMaxOutputs = 16;
constexpr int kMaxEdge = 1 << 14;  // of an output
constexpr std::string_view kOutputPrefix = "golden_output_";
constexpr std::string_view kLocationPrefix = "location_";
// A name TensorFlow takes for a node, without an output index.
std::string require_node_name(ObjectReader& reader, std::string_view key) {
  std::string text = require_text(reader, key);
  if (text.find(':') != std::string::npos) reader.fail(key, "a node's name without \":0\"", in_quotes(text));
  return text;
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

OutputRole require_role(ObjectReader& reader) {
  const std::string role = reader.require_string("role");
  if (role == "map") return OutputRole::kMap;
  if (role != "reconstruction") reader.fail("role", R"("reconstruction" or "map")", in_quotes(role));
  return OutputRole::kReconstruction;
}

// [null, h, w, 1]
void read_shape(ObjectReader& reader, OutputSpec& spec) {
  const json& shape = reader.require_array("shape");
  const auto is_edge = [](const json& value) { return value.is_number_integer() && value >= 1 && value <= kMaxEdge; };
  const bool valid = shape.size() == 4 && shape[0].is_null() && is_edge(shape[1]) && is_edge(shape[2]) && shape[3] == 1;
  if (!valid) {
    reader.fail("shape", "[null, height, width, 1], edges from 1 to 16384", text_of(shape));
    return;
  }
  spec.height = shape[1].get<int>();
  spec.width = shape[2].get<int>();
}

OutputSpec read_output(const json& value, const std::string& path, const std::string& name, Status& status) {
  ObjectReader reader(value, path);
  OutputSpec spec{name, require_role(reader), 0, 0};
  read_shape(reader, spec);
  if (!is_identifier(name)) reader.fail("name", "1 to 64 letters, digits and _", in_quotes(name));
  status = reader.finish();
  return spec;
}

// {"reconstruction": {"role": "reconstruction", "shape": [null, P, P, 1]}, …}
void read_outputs(ObjectReader& reader, Manifest& manifest) {
  const json& outputs = reader.require_object("outputs");
  if (outputs.empty() || outputs.size() > kMaxOutputs) {
    reader.fail("outputs", "1 to 16 outputs", std::to_string(outputs.size()));
    return;
  }
  const int edge = manifest.layout.patch_size;
  std::size_t reconstructions = 0;
  for (const auto& [name, value] : outputs.items()) {
    Status status;
    const std::string path = "outputs." + printable(name);
    const OutputSpec spec = read_output(value, reader.path_of(path), name, status);
    reader.merge(status);
    manifest.outputs.push_back(spec);
    if (spec.role == OutputRole::kMap) continue;
    if (++reconstructions > 1) reader.fail(path, "at most one reconstruction", "a second");
    if (spec.height == edge && spec.width == edge) continue;
    reader.fail(path + ".shape", "the shape of a patch, " + json({nullptr, edge, edge, 1}).dump(),
                text_of(value.value("shape", json())));
  }
}

Precision require_precision(ObjectReader& reader) {
  const std::string name = reader.require_string("precision");
  if (const std::optional<Precision> found = precision_of(name); found.has_value()) return *found;
  reader.fail("precision", "one of " + known_precisions(), in_quotes(name));
  return Precision::kFloat32;
}

Status read_runtime(const json& value, const std::string& path, Manifest& manifest) {
  ObjectReader reader(value, path);
  manifest.runtime = reader.require_string("name");
  manifest.precision = require_precision(reader);
  if (Status status = reader.finish(); !status.ok()) return status;
  if (is_known_runtime(manifest.runtime)) return {};
  return {Code::kUnsupported, reader.path_of("name") + ": expected one of the runtimes this library knows (" +
                                  known_runtimes() + "), got " + in_quotes(manifest.runtime) +
                                  "; install the vialsight that wrote the bundle"};
}

// What was frozen is TensorFlow's in float32; any other runtime or precision has to say how far it is from that.
void read_optimization(const json& document, ObjectReader& reader, const Manifest& manifest) {
  constexpr const char* kKey = "optimization";
  const bool plain = manifest.runtime == "tensorflow" && manifest.precision == Precision::kFloat32;
  if (!document.contains(kKey) && plain) return;
  const json& record = reader.require_object(kKey);
  reader.merge(check_optimization_record(record, reader.path_of(kKey), manifest.precision));
}

// As patches.h says.
Status check_preprocess(const json& value, const std::string& path, const Layout& layout) {
  ObjectReader reader(value, path);
  reader.require_constant("scaling", "unit");
  const bool located = layout.locate != LocatorKind::kNone;
  reader.require_constant("resize", located ? "cubic_antialias" : "bilinear_antialias");
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

Status check_provenance(const json& value, const std::string& path) {
  ObjectReader reader(value, path);
  (void)require_text(reader, "vialsight");
  (void)require_text(reader, "runtime_version");
  if (reader.require_nullable("git") != nullptr) (void)require_text(reader, "git");
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

// Before everything else: the fields of another version are not ours to judge.
Status check_format_version(const json& document) {
  if (!document.is_object() || !document.contains("format_version")) return {};
  const json& version = document["format_version"];
  if (!version.is_number_integer() || version == kFormatVersion) return {};
  return {Code::kUnsupported, "manifest.json: format_version: expected " + std::to_string(kFormatVersion) + ", got " +
                                  text_of(version) +
                                  "; freeze and calibrate it again from its run, with this vialsight"};
}

FileEntry read_file_entry(ObjectReader& files, const std::string& role) {
  ObjectReader reader(files.require_object(role), files.path_of(role));
  FileEntry entry{reader.require_string("name"), require_sha256(reader, "sha256"),
                  static_cast<std::uint64_t>(reader.require_integer("size", 1, kMaxFileSize))};
  if (!is_bundle_file_name(entry.name)) {
    reader.fail("name", "a file's name in the bundle or in a folder of it", in_quotes(entry.name));
  }
  files.merge(reader.finish());
  return entry;
}

std::vector<std::string> roles_of(const Manifest& manifest) {
  std::vector<std::string> roles = {kModelRole, kFingerprintsRole, kGoldenInputsRole, kGoldenScoresRole,
                                    kGoldenComponentsRole};
  for (const OutputSpec& output : manifest.outputs) roles.push_back(golden_output_role(output.name));
  for (const OfferedComponent& component : manifest.components) {
    if (component.per_location) roles.push_back(location_role(component.name));
  }
  if (manifest.locate.has_value()) {
    roles.insert(roles.end(), {kLocatorTemplateRole, kLocatorWeightsRole, kLocatorFramesRole, kLocatorPosesRole});
  }
  return roles;
}

Status read_files(const json& value, const std::string& path, Manifest& manifest) {
  ObjectReader reader(value, path);
  std::set<std::string> names;
  for (const std::string& role : roles_of(manifest)) {
    FileEntry entry = read_file_entry(reader, role);
    if (!names.insert(entry.name).second) reader.fail(role, "a file of its own", in_quotes(entry.name) + " again");
    manifest.files[role] = std::move(entry);
  }
  return reader.finish();
}

Status read_layout(const json& value, const std::string& path, Layout& layout) {
  Result<Layout> parsed = layout_from_json_value(value, path);
  if (parsed.ok()) layout = std::move(parsed).value();
  return parsed.status();
}

// What the graph takes and gives, and what becomes of it.
void read_interface(ObjectReader& reader, Manifest& manifest) {
  Status status;
  const json& input = reader.require_object("input");
  manifest.input_name = read_input(input, reader.path_of("input"), manifest.layout.patch_size, status);
  reader.merge(status);
  read_outputs(reader, manifest);
  reader.merge(check_preprocess(reader.require_object("preprocess"), reader.path_of("preprocess"), manifest.layout));
  manifest.score = reader.require_object("score");
  manifest.components = offered_components(manifest.score);
}

// What calibration adds; all of it null before.
void read_calibration(ObjectReader& reader, Manifest& manifest) {
  const json* calibration = reader.require_nullable("calibration");
  if (calibration != nullptr) {
    reader.merge(check_calibration_record(*calibration, reader.path_of("calibration"), manifest.layout));
  }
  const json& thresholds = reader.require_object("thresholds");
  reader.merge(read_thresholds(thresholds, reader.path_of("thresholds"), calibration != nullptr, manifest));
  const json* heatmap = reader.require_nullable("heatmap");
  if (heatmap != nullptr) reader.merge(read_heatmap(*heatmap, reader.path_of("heatmap"), manifest));
}

}  // namespace

std::string golden_output_role(const std::string& output) { return std::string(kOutputPrefix) + output; }
std::string location_role(const std::string& component) { return std::string(kLocationPrefix) + component; }

Result<Manifest> parse_manifest(std::string_view json_text) {
  const Result<json> document = parse_strict_json(json_text, kManifestName);
  if (!document.ok()) return document.status();
  if (Status status = check_format_version(document.value()); !status.ok()) return status;

  Manifest manifest;
  ObjectReader reader(document.value(), std::string(kManifestName) + ":");
  (void)reader.require_integer("format_version", kFormatVersion, kFormatVersion);
  manifest.name = require_text(reader, "name");
  require_time(reader, "created");
  manifest.method = require_identifier(reader, "method");
  reader.merge(read_runtime(reader.require_object("runtime"), reader.path_of("runtime"), manifest));
  reader.merge(read_layout(reader.require_object("layout"), reader.path_of("layout"), manifest.layout));
  Status located;
  manifest.locate = read_locate(reader.require_nullable("locate"), reader.path_of("locate"), manifest.layout, located);
  reader.merge(located);
  read_interface(reader, manifest);
  read_calibration(reader, manifest);
  reader.merge(read_golden(reader.require_object("golden"), reader.path_of("golden"), manifest));
  read_optimization(document.value(), reader, manifest);
  reader.merge(check_provenance(reader.require_object("provenance"), reader.path_of("provenance")));
  reader.merge(read_files(reader.require_object("files"), reader.path_of("files"), manifest));
  if (Status status = reader.finish(); !status.ok()) return status;
  return manifest;
}

}  // namespace vialsight
