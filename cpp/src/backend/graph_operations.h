// The operations of a serialised GraphDef, read without TensorFlow: a runtime that has no allow-list of its own must
// not be given a graph that reaches for files.
//
// Valid C++17: compiled into backend modules too.
#pragma once

#include <cstddef>

#include "vialsight/status.h"

namespace vialsight {

// Ok when all nodes, those of the function library included, use operations of allowed_ops.h. kUnsupported with the
// node and its operation; kDataCorrupt where the bytes are no GraphDef, or one that leaves anything open: whatever a
// reader could take for an operation must be allowed.
[[nodiscard]] Status check_operations(const void* model, std::size_t size);

}  // namespace vialsight
