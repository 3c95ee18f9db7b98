// GigeSource: frames of a GigE Vision camera, by Aravis. Compiled only where Aravis was found (VIALSIGHT_ARAVIS).
//
// Frames come into memory that is allocated when the camera is first found, go to the control thread, and back when
// their strip is closed. A frame that comes while no strip is open waits for one: camera and machine see the same light
// barrier, and either may be the first to say so. Which frame of which strip it is: frame_order.h; when it was exposed,
// on our clock: device_clock.h. A frame whose place is not to be told carries strip id 0; incomplete ones are dropped,
// and a note says so.
//
//   camera ─► Aravis' thread ─► filled ─► control thread ─► returned ─► keeper ─► Aravis' thread
//
// The keeper, a thread of its own, hands buffers back to Aravis, whose queue has a lock, and looks for a lost camera
// once a second: so the control thread meets queues without locks alone. A camera that is not there at start() is lost.
#pragma once

#include <memory>
#include <string>

#include "station/frame_source.h"
#include "vialsight/layout.h"

namespace vialsight::station {

// `camera`: all that follows "gige:", see gige_options.h. Not started; nothing is looked for on the network before
// start().
[[nodiscard]] Result<std::unique_ptr<FrameSource>> make_gige_source(const std::string& camera, const Layout& layout);

}  // namespace vialsight::station
