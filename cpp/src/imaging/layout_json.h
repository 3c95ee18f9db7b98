// A layout inside a larger JSON file.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "vialsight/layout.h"

namespace vialsight {

// As Layout::from_json; `path` begins messages, in the form of ObjectReader's ("manifest.json: layout").
[[nodiscard]] Result<Layout> layout_from_json_value(const nlohmann::json& value, const std::string& path);

}  // namespace vialsight
