// A component that filters a map and pools it: s = pool(G_σ(N(D))). Its kinds differ in D alone.
#pragma once

#include <optional>
#include <vector>

#include "scoring/component.h"
#include "scoring/filters.h"

namespace vialsight {

// N: (D − mean) / max(spread, 10⁻³) at each location of each region.
struct Locations {
  std::vector<float> mean;
  std::vector<float> spread;
};

// What the definition says of a filtered component, beside its map.
struct Filtering {
  MapSize size;
  double smoothing = 0.0;  // σ in pixels of the map; 0: none
  std::size_t pooled = 1;  // how many of the largest values are averaged
  std::optional<Locations> locations;
};

// Reads "smoothing", "pooling" and "per_location" for a map of `size`.
[[nodiscard]] Filtering read_filtering(ObjectReader& reader, const ComponentContext& context, MapSize size);

class FilteredComponent : public Component {
 public:
  explicit FilteredComponent(Filtering filtering);

  [[nodiscard]] MapSize size() const noexcept final { return filtering_.size; }
  [[nodiscard]] double score(const PatchData& data, std::size_t region) noexcept final;
  [[nodiscard]] std::span<const double> map(const PatchData& data, std::size_t region) noexcept final;

 protected:
  // D, into all of `raw`.
  virtual void fill(const PatchData& data, std::span<double> raw) noexcept = 0;

 private:
  [[nodiscard]] std::span<double> filtered(const PatchData& data, std::size_t region) noexcept;

  Filtering filtering_;
  std::vector<double> raw_;
  std::vector<double> smooth_;  // empty without smoothing
  std::optional<GaussianFilter> filter_;
};

// |x − y|.
void absolute_difference(std::span<const float> x, std::span<const float> y, std::span<double> result) noexcept;

}  // namespace vialsight
