// What a manifest says of the network it was optimised from: checked, and left in the text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "vialsight/runtime.h"
#include "vialsight/status.h"

namespace vialsight {

[[nodiscard]] Status check_optimization_record(const nlohmann::json& value, const std::string& path,
                                               Precision precision);

}  // namespace vialsight
