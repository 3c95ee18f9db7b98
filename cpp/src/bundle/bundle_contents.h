// What a bundle folder holds, read and checked.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bundle/bundle_locator.h"
#include "bundle/bundle_manifest.h"
#include "vialsight/bundle.h"

namespace vialsight {

struct BundleContents {
  // Mean and spread of one component.
  struct LocationMemory {
    std::string component;
    MapSize size;
    std::vector<float> values;  // [2][R][h][w]
  };
  // What `golden` views.
  struct GoldenMemory {
    std::vector<float> inputs;
    std::size_t outputs_per_region = 0;
    std::vector<std::vector<float>> outputs;
    std::vector<float> scores;
    std::vector<float> components;
  };

  BundleContents() = default;
  BundleContents(const BundleContents&) = delete;  // its views are of its own memory
  BundleContents& operator=(const BundleContents&) = delete;

  [[nodiscard]] ScoreInputs score_inputs() const;
  // See the functions of these names of Bundle.
  [[nodiscard]] std::vector<float> golden_components(std::size_t patch) const;
  [[nodiscard]] std::vector<double> golden_scales(std::size_t patch) const;
  // 1 of a component that is not per location.
  [[nodiscard]] double sensitivity(const std::string& component, std::size_t region) const;

  std::filesystem::path path;
  Manifest manifest;
  std::string manifest_json;
  std::string sha256;
  std::vector<std::byte> model;
  std::vector<std::byte> fingerprints;
  std::vector<LocationMemory> location_memory;
  std::vector<LocationArrays> locations;
  std::vector<std::string> components;  // that decide
  std::vector<std::size_t> deciding;    // their positions among manifest.components
  GoldenMemory golden_memory;
  GoldenPatches golden;
  std::optional<LocatorMemory> locator;  // nothing where nothing is located
};

// Every check of Bundle::load. Fills `contents`, which must be new.
[[nodiscard]] Status read_contents(const std::filesystem::path& path, BundleContents& contents);

}  // namespace vialsight
