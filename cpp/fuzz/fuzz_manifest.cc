// parse_manifest: what it accepts is a whole manifest.
#include <cmath>

#include "bundle/bundle_files.h"
#include "bundle/bundle_manifest.h"
#include "bundle/manifest_fields.h"
#include "fuzz_input.h"

using vialsight::fuzz::Input;
using vialsight::fuzz::require;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const vialsight::Result<vialsight::Manifest> manifest = vialsight::parse_manifest(Input(data, size).text());
  if (!manifest.ok()) {
    require(!manifest.status().message().empty(), "an error says what is wrong");
    return 0;
  }
  const vialsight::Manifest& read = manifest.value();
  require(read.layout.validate().ok(), "the layout is one");
  for (const std::vector<double>& thresholds : read.thresholds) {
    require(thresholds.empty() || thresholds.size() == read.layout.region_count(), "one threshold per region, or none");
    for (const double threshold : thresholds) require(std::isfinite(threshold), "thresholds are finite");
  }
  require(read.heatmap.empty() || read.heatmap.size() == read.layout.region_count(), "one scale per region, or none");
  for (const vialsight::HeatmapScale& scale : read.heatmap) require(scale.vmax > scale.vmin, "scales are no points");
  for (const auto& [role, file] : read.files) {
    require(vialsight::is_sha256(file.sha256), "digests are digests");
    require(vialsight::is_bundle_file_name(file.name), "files lie in the bundle");
  }
  require(!read.outputs.empty(), "the network has an output");
  return 0;
}
