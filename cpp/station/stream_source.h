// StreamSource: strips from a pipe, a FIFO or a file, as `vialsight simulate SET --live` writes them
// (vialsight/frame_stream.h). A file has no pace of its own: its strips come one per slot.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "station/frame_source.h"
#include "vialsight/layout.h"

namespace vialsight::station {

// `path` empty: standard input. kNotFound, kPermissionDenied: it cannot be opened; a FIFO is opened without waiting for
// who writes.
[[nodiscard]] Result<std::unique_ptr<FrameSource>> make_stream_source(const std::string& path, const Layout& layout,
                                                                      std::chrono::nanoseconds slot);

}  // namespace vialsight::station
