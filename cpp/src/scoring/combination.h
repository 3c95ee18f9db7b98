// How the numbers and maps of several components become one (SPEC §5.2).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"

namespace vialsight {

enum class Combine : std::uint8_t { kSingle, kLargest, kSum };

// Of one component, per region: u = (s − offset) / scale; its map is divided by map_scale.
struct Normalisation {
  std::vector<double> offset;
  std::vector<double> scale;
  std::vector<double> map_scale;
};

// Reads "combine": null for one component that decides, a name for several.
[[nodiscard]] Combine read_combine(ObjectReader& reader, std::size_t deciding);

// Reads "normalisation", one per name in `decide`; the identity where it is null.
[[nodiscard]] std::vector<Normalisation> read_normalisations(ObjectReader& reader,
                                                             const std::vector<std::string>& decide,
                                                             std::size_t regions);

// Largest u, or Σ max(0, u), of one u after the other; NaN when any is not finite.
class Combination {
 public:
  explicit Combination(Combine combine) noexcept;
  void add(double excess) noexcept;
  [[nodiscard]] double value() const noexcept { return value_; }

 private:
  Combine combine_;
  double value_;
};

// The same for one pixel after another: joins `map` / `scale` to `result`. The first map of a largest replaces it.
void join_map(Combine combine, bool first, double scale, std::span<const double> map,
              std::span<double> result) noexcept;

}  // namespace vialsight
