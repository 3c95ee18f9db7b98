// What a manifest says of its calibration: checked, and left in the text.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "vialsight/layout.h"
#include "vialsight/status.h"

namespace vialsight {

[[nodiscard]] Status check_calibration_record(const nlohmann::json& value, const std::string& path,
                                              const Layout& layout);

}  // namespace vialsight
