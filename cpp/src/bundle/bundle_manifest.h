// The manifest of a bundle, format 2: its closed schema, checked field by field.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle_files.h"
#include "scoring/score_json.h"
#include "vialsight/heatmap.h"
#include "vialsight/layout.h"
#include "vialsight/locator.h"
#include "vialsight/outputs.h"
#include "vialsight/runtime.h"
#include "vialsight/status.h"

namespace vialsight {

// What a file is for. Besides these: "golden_output_NAME" of each output, "location_NAME" of each component of the
// score that is per location, and those of bundle_locator.h where products are located.
inline constexpr const char* kModelRole = "model";
inline constexpr const char* kFingerprintsRole = "fingerprints";
inline constexpr const char* kGoldenInputsRole = "golden_inputs";
inline constexpr const char* kGoldenScoresRole = "golden_scores";
inline constexpr const char* kGoldenComponentsRole = "golden_components";
[[nodiscard]] std::string golden_output_role(const std::string& output);
[[nodiscard]] std::string location_role(const std::string& component);

// What inspection needs of a manifest. Calibration and provenance records are checked and left in the text.
struct Manifest {
  std::string name;
  std::string method;
  std::string runtime;
  Precision precision = Precision::kFloat32;
  Layout layout;
  std::optional<LocatorModel> locate;  // without template and weights
  std::string input_name;
  std::vector<OutputSpec> outputs;  // in the order of their names
  nlohmann::json score;             // not checked: what that needs lies in files
  std::vector<OfferedComponent> components;
  std::array<std::vector<double>, 3> thresholds;  // by Level: R values, or empty
  std::vector<HeatmapScale> heatmap;              // R scales, or empty
  std::size_t golden_per_region = 0;
  double tolerance = 0.0;
  std::map<std::string, FileEntry> files;  // by role
};

// kDataCorrupt with the field, what was expected and what came; kUnsupported for another format version, or a runtime
// that this library does not know.
[[nodiscard]] Result<Manifest> parse_manifest(std::string_view json);

}  // namespace vialsight
