// What every reader of frames asks of one before it touches a pixel.
#pragma once

#include "vialsight/patches.h"
#include "vialsight/status.h"

namespace vialsight {

// Ok when `frame` has this size, the format of this bit depth, and a stride and an address to read it by.
[[nodiscard]] Status check_frame(const FrameView& frame, int width, int height, int bit_depth);

}  // namespace vialsight
