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

// In memory.
using StoredLanes = double __attribute__((vector_size(sizeof(Lanes)), aligned(alignof(double)), may_alias));
using StoredWideLanes = double __attribute__((vector_size(sizeof(WideLanes)), aligned(alignof(double)), may_alias));

VIALSIGHT_INLINE Lanes load_lanes(const double* from) noexcept { return *reinterpret_cast<const StoredLanes*>(from); }

VIALSIGHT_INLINE WideLanes load_wide_lanes(const double* from) noexcept {
  return *reinterpret_cast<const StoredWideLanes*>(from);
}

VIALSIGHT_INLINE void store_lanes(double* to, Lanes values) noexcept { *reinterpret_cast<StoredLanes*>(to) = values; }

VIALSIGHT_INLINE void store_lanes(double* to, WideLanes values) noexcept {
  *reinterpret_cast<StoredWideLanes*>(to) = values;
}

VIALSIGHT_INLINE Lanes widen_lanes(const float* from) noexcept {
  using Narrow = float __attribute__((vector_size(16), aligned(alignof(float)), may_alias));
  return __builtin_convertvector(*reinterpret_cast<const Narrow*>(from), Lanes);
}

}  // namespace vialsight
