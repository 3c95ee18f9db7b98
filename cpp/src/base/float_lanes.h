// FloatLanes: sixteen floats that are computed with at once. Sums in lanes have one fixed order, whatever the machine's
// vector width, and compilers keep them in registers, which they do not with arrays. For VIALSIGHT_MULTIVERSION
// functions.
#pragma once

#include <cstddef>
#include <cstring>

#include "base/multiversion.h"

namespace vialsight {

inline constexpr std::size_t kFloatLanes = 16;

using FloatLanes = float __attribute__((vector_size(kFloatLanes * sizeof(float))));

// The first `count` ≤ kFloatLanes values; the other lanes become 0. Vectors are never returned or passed by value: how
// that is done depends on the machine.
VIALSIGHT_INLINE void load_lanes(const float* from, std::size_t count, FloatLanes& lanes) noexcept {
  lanes = FloatLanes{};
  std::memcpy(&lanes, from, count * sizeof(float));
}

}  // namespace vialsight
