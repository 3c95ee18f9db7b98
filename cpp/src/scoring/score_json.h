// A score inside a larger JSON file.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "vialsight/score.h"

namespace vialsight {

// As Score::create; `path` begins messages, in the form of ObjectReader's ("manifest.json: score").
[[nodiscard]] Result<Score> score_from_json_value(const nlohmann::json& value, const std::string& path,
                                                  const ScoreInputs& inputs, std::span<const LocationArrays> locations);

}  // namespace vialsight
