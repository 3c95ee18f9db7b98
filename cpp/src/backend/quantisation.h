// The ranges within which a graph rounds to integers of 8 bits: FakeQuantWithMinMaxVars and its kind by channel, which
// runtimes that multiply such integers read as just that. What a range would have to be is defined here alone: each
// runtime makes something else of one that is not a number, or upside down.
//
// Valid C++17: compiled into backend modules too.
#pragma once

#include <cstddef>

#include "vialsight/status.h"

namespace vialsight {

// Counts in `roundings` the nodes of a serialised GraphDef that round. kDataCorrupt with the node where one does not
// round to 8 bits, where a bound is no constant of float32, or where a range is not finite or does not reach from 0 or
// below to 0 or above; kDataCorrupt also where the bytes are no GraphDef.
[[nodiscard]] Status check_quantisation(const void* model, std::size_t size, std::size_t& roundings);

}  // namespace vialsight
