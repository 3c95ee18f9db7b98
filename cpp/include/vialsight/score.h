// A bundle's score: one number and one map of a patch and the network's outputs (SPEC §5.2).
//
// The definition is the bundle's `score` object: the components, which of them decide, how they are combined and
// normalised. Sums are kept in double. What is not finite anywhere in a patch or its outputs makes the number NaN, so
// that no threshold accepts it.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vialsight/export.h"
#include "vialsight/outputs.h"
#include "vialsight/status.h"

namespace vialsight {

// What a score is made for.
struct ScoreInputs {
  std::vector<OutputSpec> outputs;
  int patch_size = 0;  // P
  std::size_t regions = 0;
};

struct MapSize {
  int height = 0;
  int width = 0;

  [[nodiscard]] std::size_t pixels() const noexcept {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
  friend bool operator==(const MapSize&, const MapSize&) = default;
};

// Mean and spread per location of nominal patches, [regions][height][width] each.
struct LocationArrays {
  std::string component;  // its name
  MapSize size;           // of its map
  std::span<const float> mean;
  std::span<const float> spread;
};

struct PatchData {
  std::span<const float> patch;                     // P·P, in [0, 1]
  std::span<const std::span<const float>> outputs;  // in the order of ScoreInputs::outputs
};

// One thread at a time: run() and map() use buffers of the object's own. What was moved from may only be assigned to or
// destroyed.
class VIALSIGHT_API Score {
 public:
  // Allocates all that run() and map() need. Copies `locations`: of the components that are per location, all that
  // decide must have them. kDataCorrupt names the field of the definition that is wrong; kInvalidArgument what is wrong
  // about `inputs` or `locations`.
  [[nodiscard]] static Result<Score> create(std::string_view definition_json, const ScoreInputs& inputs,
                                            std::span<const LocationArrays> locations);
  Score(Score&& other) noexcept;
  Score& operator=(Score&& other) noexcept;
  ~Score();

  // Names of the components that decide, in the order of `decide`.
  [[nodiscard]] const std::vector<std::string>& components() const noexcept;

  // The number of one patch, and before normalisation those of components(), of which it is combine(). Does not
  // allocate.
  [[nodiscard]] Status run(const PatchData& data, std::size_t region, float& score, std::span<float> components);

  // φ of what run() found for components(); NaN where any is not finite, or where sizes do not fit.
  [[nodiscard]] float combine(std::span<const float> components, std::size_t region) const noexcept;

  // A single component's own size, or P×P of a combination.
  [[nodiscard]] MapSize map_size() const noexcept;
  // The map of one patch, row by row. Does not allocate.
  [[nodiscard]] Status map(const PatchData& data, std::size_t region, std::span<float> result);

  class Impl;

 private:
  explicit Score(std::unique_ptr<Impl> impl) noexcept;
  friend class ScoreReader;

  std::unique_ptr<Impl> impl_;
};

}  // namespace vialsight
