// The manifest of a bundle: its closed schema, checked field by field.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vialsight/heatmap.h"
#include "vialsight/layout.h"
#include "vialsight/status.h"

namespace vialsight {

// One file as the manifest names it.
struct FileEntry {
  std::string name;
  std::string sha256;      // 64 lower-case hexadecimal digits
  std::uint64_t size = 0;  // bytes
};

// What inspection needs of a manifest. Calibration and provenance records are checked and left in the text.
struct Manifest {
  std::string name;
  Layout layout;
  std::string input_name;
  std::string output_name;
  std::array<std::vector<double>, 3> thresholds;  // by Level: R values, or empty
  std::vector<HeatmapScale> heatmap;              // R scales, or empty
  std::size_t golden_per_region = 0;
  double tolerance = 0.0;
  std::array<FileEntry, 5> files;  // model, golden inputs, reconstructions, scores, fingerprints
};

// kDataCorrupt with the field, what was expected and what came; kUnsupported for another format version.
[[nodiscard]] Result<Manifest> parse_manifest(std::string_view json);

// True for 64 lower-case hexadecimal digits.
[[nodiscard]] bool is_sha256(std::string_view text) noexcept;

}  // namespace vialsight
