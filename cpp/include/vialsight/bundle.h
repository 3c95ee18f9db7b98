// Bundle: the checked contents of a `NAME.vsb` folder, the one artifact between training and the line.
//
// load() reads every file once, and checks before any inference library is touched: closed schema, no unknown, missing
// or duplicate key, the manifest's own digest (manifest.json.sha256), every file's size and SHA-256, no symbolic links,
// no files the manifest does not name, array shapes, the score and what it needs. What it returns is exactly the bytes
// that were checked. Immutable and cheap to copy: several Inspectors may share one. The allow-list of graph operations
// and the golden patches are checked by Inspector::create.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vialsight/decision.h"
#include "vialsight/export.h"
#include "vialsight/heatmap.h"
#include "vialsight/layout.h"
#include "vialsight/locator.h"
#include "vialsight/outputs.h"
#include "vialsight/runtime.h"
#include "vialsight/score.h"
#include "vialsight/status.h"

namespace vialsight {

// Patches scored at freezing by the code that trained the model; K = count_per_region. Components prove a network;
// outputs, of the first patches of each region only, are there to look at.
struct GoldenPatches {
  std::size_t count_per_region = 0;             // at least 8
  std::span<const float> inputs;                // [R][K][P][P]
  std::size_t outputs_per_region = 0;           // k, from 1 to K
  std::vector<std::span<const float>> outputs;  // [R][k][h][w] each, in the order of Bundle::outputs
  std::span<const float> scores;                // φ [R][K]
  std::span<const float> components;            // [R][K][C], of all components offered
  double tolerance = 0.0;                       // see Bundle::golden_components
};

// Frames located at freezing, reduced as reduce_frame() does: h = frame_height / scale, w likewise.
struct GoldenLocations {
  std::size_t count = 0;          // 2 to 64; 0 where nothing is located
  std::span<const float> frames;  // [n][h][w]
  std::span<const float> poses;   // [n][3]: dx, dy, turn
};

class VIALSIGHT_API Bundle {
 public:
  // kNotFound, kDataCorrupt or kUnsupported, with the file and field that is wrong.
  [[nodiscard]] static Result<Bundle> load(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& path() const noexcept;
  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] const std::string& method() const noexcept;   // "drae"
  [[nodiscard]] const std::string& runtime() const noexcept;  // of the inference library: "tensorflow", "openvino"
  [[nodiscard]] Precision precision() const noexcept;         // in which it shall multiply
  [[nodiscard]] const Layout& layout() const noexcept;
  // How products are located; null where the layout says that they always lie at one place.
  [[nodiscard]] const LocatorModel* locator() const noexcept;
  [[nodiscard]] GoldenLocations golden_locations() const noexcept;
  // The manifest as it was read, UTF-8 JSON.
  [[nodiscard]] const std::string& manifest_json() const noexcept;
  // SHA-256 of manifest.json, lower-case hex; names the whole bundle, since the manifest names every file's digest.
  [[nodiscard]] const std::string& sha256() const noexcept;
  [[nodiscard]] const std::string& input_name() const noexcept;
  // What the network puts out, in the order of the names.
  [[nodiscard]] const std::vector<OutputSpec>& outputs() const noexcept;
  // A Score of one's own: one thread at a time. `definition_json` empty: the bundle's; else another choice among its
  // components (kDataCorrupt: it is none).
  [[nodiscard]] Result<Score> make_score(std::string_view definition_json = {}) const;
  // Names of the components that decide, as Score::components.
  [[nodiscard]] const std::vector<std::string>& components() const noexcept;
  // Of the components that are per location.
  [[nodiscard]] std::span<const LocationArrays> locations() const noexcept;
  // R thresholds of a level; empty when the bundle is not calibrated for it.
  [[nodiscard]] std::span<const double> thresholds(Level level) const noexcept;
  // The fixed heatmap scale of a region; nothing before calibration.
  [[nodiscard]] std::optional<HeatmapScale> heatmap_scale(std::size_t region) const noexcept;
  [[nodiscard]] std::span<const std::byte> model() const noexcept;  // serialised GraphDef
  // What Python recognises the images of training and calibration by; not used for inspection.
  [[nodiscard]] std::span<const std::byte> fingerprints() const noexcept;
  [[nodiscard]] const GoldenPatches& golden() const noexcept;
  // Of golden patch `patch` (counted over all regions): what each component that decides must give again, within
  // golden().tolerance · golden_scales(patch), in the order of Score::components. Empty: there is no such patch.
  [[nodiscard]] std::vector<float> golden_components(std::size_t patch) const;
  // Of the same components: max(1, |s|), and where a component is per location 1/σ, for the least spread σ ≥ 10⁻³ of
  // the region: by that its score is more sensitive to what the network puts out.
  [[nodiscard]] std::vector<double> golden_scales(std::size_t patch) const;

  // Copied, never moved from: every Bundle stays a whole one.
  Bundle(const Bundle&) = default;
  Bundle& operator=(const Bundle&) = default;
  ~Bundle() = default;

 private:
  friend struct BundleAccess;  // src/bundle/bundle_access.h
  struct Contents;
  explicit Bundle(std::shared_ptr<const Contents> contents) noexcept;
  std::shared_ptr<const Contents> contents_;
};

}  // namespace vialsight
