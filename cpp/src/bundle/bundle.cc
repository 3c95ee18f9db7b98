#include "vialsight/bundle.h"

#include <new>
#include <utility>

#include "bundle/bundle_access.h"
#include "bundle/bundle_contents.h"
#include "scoring/score_json.h"

namespace vialsight {

struct Bundle::Contents : BundleContents {};

Bundle BundleAccess::empty() { return Bundle(std::make_shared<const Bundle::Contents>()); }

Result<Bundle> Bundle::load(const std::filesystem::path& folder) {
  try {
    auto contents = std::make_shared<Contents>();
    Status status = read_contents(folder, *contents);
    if (!status.ok()) return Status(status.code(), "bundle " + folder.string() + ": " + status.message());
    return Bundle(std::move(contents));
  } catch (const std::bad_alloc&) {
    return Status(Code::kResourceExhausted, "bundle: not enough memory to load it");
  }
}

Bundle::Bundle(std::shared_ptr<const Contents> contents) noexcept : contents_(std::move(contents)) {}

const std::filesystem::path& Bundle::path() const noexcept { return contents_->path; }
const std::string& Bundle::name() const noexcept { return contents_->manifest.name; }
const Layout& Bundle::layout() const noexcept { return contents_->manifest.layout; }
const LocatorModel* Bundle::locator() const noexcept {
  return contents_->locator.has_value() ? &contents_->locator->model : nullptr;
}

GoldenLocations Bundle::golden_locations() const noexcept {
  if (!contents_->locator.has_value()) return {};
  return {contents_->locator->count, contents_->locator->frames, contents_->locator->poses};
}

const std::string& Bundle::manifest_json() const noexcept { return contents_->manifest_json; }
const std::string& Bundle::sha256() const noexcept { return contents_->sha256; }
const std::string& Bundle::input_name() const noexcept { return contents_->manifest.input_name; }
const std::string& Bundle::method() const noexcept { return contents_->manifest.method; }
const std::string& Bundle::runtime() const noexcept { return contents_->manifest.runtime; }
Precision Bundle::precision() const noexcept { return contents_->manifest.precision; }
const std::vector<OutputSpec>& Bundle::outputs() const noexcept { return contents_->manifest.outputs; }
const std::vector<std::string>& Bundle::components() const noexcept { return contents_->components; }
std::span<const LocationArrays> Bundle::locations() const noexcept { return contents_->locations; }
std::span<const std::byte> Bundle::model() const noexcept { return contents_->model; }
std::span<const std::byte> Bundle::fingerprints() const noexcept { return contents_->fingerprints; }
const GoldenPatches& Bundle::golden() const noexcept { return contents_->golden; }

std::vector<float> Bundle::golden_components(std::size_t patch) const { return contents_->golden_components(patch); }

std::vector<double> Bundle::golden_scales(std::size_t patch) const { return contents_->golden_scales(patch); }

Result<Score> Bundle::make_score(std::string_view definition_json) const {
  if (!definition_json.empty()) return Score::create(definition_json, contents_->score_inputs(), contents_->locations);
  return score_from_json_value(contents_->manifest.score, "score:", contents_->score_inputs(), contents_->locations);
}

std::span<const double> Bundle::thresholds(Level level) const noexcept {
  const auto index = static_cast<std::size_t>(level);
  if (index >= contents_->manifest.thresholds.size()) return {};
  return contents_->manifest.thresholds[index];
}

std::optional<HeatmapScale> Bundle::heatmap_scale(std::size_t region) const noexcept {
  if (region >= contents_->manifest.heatmap.size()) return std::nullopt;
  return contents_->manifest.heatmap[region];
}

}  // namespace vialsight
