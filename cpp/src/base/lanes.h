// Several doubles at a time, for filters that the compiler's own vectors serve badly.
//
// Written out, the loads that neighbouring outputs share are done once. GCC and Clang compile these types for any
// machine. Functions that take or return them must be inlined: their calling convention differs between machines.
#pragma once

#include <cstddef>

#include "base/multiversion.h"

namespace vialsight {

// Along a row, where loads are not aligned: of a whole cache line, every one would cross two.
using Lanes = double __attribute__((vector_size(32)));
// Across rows, where they are.
using WideLanes = double __attribute__((vector_size(64)));

constexpr std::size_t kLanes = sizeof(Lanes) / sizeof(double);
constexpr std::size_t kWideLanes = sizeof(WideLanes) / sizeof(double);

// In memory, where they are aligned as any double. A struct, since Clang forgets the alignment of a vector's alias.
template <typename Vector>
struct Stored {
  Vector values;
} __attribute__((packed, may_alias));

VIALSIGHT_INLINE Lanes load_lanes(const double* from) noexcept {
  return reinterpret_cast<const Stored<Lanes>*>(from)->values;
}

VIALSIGHT_INLINE WideLanes load_wide_lanes(const double* from) noexcept {
  return reinterpret_cast<const Stored<WideLanes>*>(from)->values;
}

VIALSIGHT_INLINE void store_lanes(double* to, Lanes values) noexcept {
  reinterpret_cast<Stored<Lanes>*>(to)->values = values;
}

VIALSIGHT_INLINE void store_lanes(double* to, WideLanes values) noexcept {
  reinterpret_cast<Stored<WideLanes>*>(to)->values = values;
}

VIALSIGHT_INLINE Lanes widen_lanes(const float* from) noexcept {
  using Narrow = float __attribute__((vector_size(16)));
  return __builtin_convertvector(reinterpret_cast<const Stored<Narrow>*>(from)->values, Lanes);
}

}  // namespace vialsight
