// Makes the FrameSource that --source names.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "station/frame_source.h"
#include "vialsight/layout.h"

namespace vialsight::station {

// "stream" (standard input), "stream:PATH", "folder:PATH" or "gige:ID"; not started. `slot` is the pace of sources that
// trigger themselves and have none of their own. kInvalidArgument: no such source, or its frames do not fit `layout`;
// kUnsupported: built without it, and the package to install.
[[nodiscard]] Result<std::unique_ptr<FrameSource>> make_source(const std::string& text, const Layout& layout,
                                                               std::chrono::nanoseconds slot);

}  // namespace vialsight::station
