// The steps of Inspector::create after the backend is loaded.
#pragma once

#include "backend/backend.h"
#include "inspector/inspector_cost.h"
#include "inspector/inspector_pipeline.h"
#include "vialsight/inspector.h"

namespace vialsight {

// kInvalidArgument: a value out of range; kFailedPrecondition: thresholds are required and missing.
[[nodiscard]] Status check_options(const Bundle& bundle, const InspectorOptions& options);

// kInvalidArgument: not a number of threads.
[[nodiscard]] Status check_threads(const char* option, int threads);

[[nodiscard]] BackendOptions backend_options(const Bundle& bundle, int threads);

// Has the network take a frame's patches all at once or vial by vial, whichever is faster here; a drawn frame is run in
// both ways, three times.
[[nodiscard]] Status choose_portion(const Bundle& bundle, FramePipeline& pipeline, TimeSource& time);

// Runs a drawn frame twice through everything, at the line's batch size: first calls are slow (graph optimisation,
// memory). The cost is that of the second.
[[nodiscard]] Result<BatchCost> warm_up(const Bundle& bundle, FramePipeline& pipeline, TimeSource& time);

// Scores the golden patches in batches of exactly V·R, the shape that was warmed up and that the line uses; the last is
// filled up with golden patches from the beginning. Each is one more measurement of `cost`. kDataCorrupt: a
// component that decides differs by more than the bundle allows; φ is made of them alone.
[[nodiscard]] Status check_golden_patches(const Bundle& bundle, FramePipeline& pipeline, BatchCost& cost);

// Both, and the golden frames located again (locating.h): what a backend must pass before it inspects, when it is made
// and each time it was started again.
[[nodiscard]] Result<BatchCost> prove(const Bundle& bundle, FramePipeline& pipeline, TimeSource& time);

}  // namespace vialsight
