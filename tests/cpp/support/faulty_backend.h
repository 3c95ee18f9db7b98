// What faulty_backend_module.cc obeys: gray values of a patch's first pixel.
#pragma once

namespace vialsight::test {

inline constexpr unsigned char kOrderAbort = 255;
inline constexpr unsigned char kOrderHang = 254;
inline constexpr unsigned char kOrderExit = 253;
inline constexpr unsigned char kOrderSegmentationFault = 252;
inline constexpr unsigned char kOrderFail = 251;
inline constexpr unsigned char kOrderDefect = 250;  // reconstructs the patch as its negative

}  // namespace vialsight::test
