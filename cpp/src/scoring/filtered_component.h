// A component that filters a map and pools it: s = pool(G_σ(N(D))). Its kinds differ in D alone.
#pragma once

#include <optional>
#include <vector>

#include "scoring/component.h"
#include "scoring/gaussian_filter.h"
#include "scoring/pooling.h"

namespace vialsight {

// Below, a spread says more of rounding than of products.
inline constexpr double kSmallestSpread = 1e-3;

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
  // Before the rows of a patch.
  virtual void begin(const PatchData& /*data*/) noexcept {}
  // Row i of D.
  virtual void fill_row(const PatchData& data, std::size_t i, double* row) noexcept = 0;

 private:
  [[nodiscard]] std::size_t width() const noexcept { return static_cast<std::size_t>(filtering_.size.width); }
  [[nodiscard]] std::size_t height() const noexcept { return static_cast<std::size_t>(filtering_.size.height); }
  void normalised_row(const PatchData& data, std::size_t region, std::size_t i, double* row) noexcept;
  void filter_rows(const PatchData& data, std::size_t region, bool keep) noexcept;

  Filtering filtering_;
  Pooling pooling_;
  std::vector<double> map_;
  std::optional<GaussianFilter> filter_;
};

// |x − y| of `count` pixels.
void absolute_difference(const float* x, const float* y, std::size_t count, double* result) noexcept;

}  // namespace vialsight
