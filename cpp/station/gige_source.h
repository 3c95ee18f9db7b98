// GigeSource: frames of a GigE Vision camera, by Aravis. Compiled only where Aravis was found (VIALSIGHT_ARAVIS).
#pragma once

#include <memory>
#include <string>

#include "station/frame_source.h"
#include "vialsight/layout.h"

namespace vialsight::station {

// `camera`: all that follows "gige:". Not started; nothing is looked for on the network before start().
[[nodiscard]] Result<std::unique_ptr<FrameSource>> make_gige_source(const std::string& camera, const Layout& layout);

}  // namespace vialsight::station
