// Door for tests to an Inspector with a clock and a backend of their own.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "base/time_source.h"
#include "vialsight/inspector.h"

namespace vialsight {

struct InspectorAccess {
  // Inspector::create with this backend in place of a loaded module: the same checks, warm-up and golden patches.
  [[nodiscard]] static Result<Inspector> create(const Bundle& bundle, const InspectorOptions& options,
                                                std::unique_ptr<Backend> backend, std::shared_ptr<TimeSource> time);
};

}  // namespace vialsight
