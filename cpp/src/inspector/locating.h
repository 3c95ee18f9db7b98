// What an Inspector does with the locator of a bundle besides running it.
#pragma once

#include <optional>

#include "inspector/inspector_pipeline.h"
#include "vialsight/bundle.h"
#include "vialsight/locator.h"
#include "vialsight/status.h"

namespace vialsight {

// Nothing where the bundle does not locate.
[[nodiscard]] Result<std::optional<Locator>> make_locator(const Bundle& bundle);

// What was seen in a frame instead of the product, and what to do.
[[nodiscard]] Status not_located(const Location& location, const LocatorModel& model);

// Reduces `frame` as Locator::locate does, and locates the first golden frame in its place.
[[nodiscard]] Result<Location> locate_rehearsed(const Bundle& bundle, const FrameView& frame, Locator& locator);

// kDataCorrupt: a golden frame is not located where the bundle says. Ok where it does not locate.
[[nodiscard]] Status check_golden_locations(const Bundle& bundle, FramePipeline& pipeline);

}  // namespace vialsight
