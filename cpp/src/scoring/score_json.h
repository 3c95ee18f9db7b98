// A score inside a larger JSON file.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "vialsight/score.h"

namespace vialsight {

// A component of a definition, whether it decides or not.
struct OfferedComponent {
  std::string name;
  bool per_location = false;  // it needs location arrays
};

// In the order of the definition. Leaves out what is malformed: that is for score_from_json_value to find.
[[nodiscard]] std::vector<OfferedComponent> offered_components(const nlohmann::json& definition);

// As Score::create; `path` begins messages, in the form of ObjectReader's ("manifest.json: score").
[[nodiscard]] Result<Score> score_from_json_value(const nlohmann::json& value, const std::string& path,
                                                  const ScoreInputs& inputs, std::span<const LocationArrays> locations);

}  // namespace vialsight
