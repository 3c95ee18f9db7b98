// The ceilings of a layout: generous, but no product of sizes overflows and a typing error is not an allocation of
// gigabytes.
#pragma once

namespace vialsight {

inline constexpr int kMaxFrameEdge = 65535;  // pixels
inline constexpr int kMaxFrames = 1024;      // per strip

}  // namespace vialsight
