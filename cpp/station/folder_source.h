// FolderSource: recorded strips, F images after another in the order of their names, one strip per slot.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "station/frame_source.h"
#include "vialsight/layout.h"

namespace vialsight::station {

// Binary PGM (P5) files `*.pgm` of the layout's size: maxval 255 at bit depth 8, two bytes a pixel above. kNotFound: no
// folder, or no image in it; kInvalidArgument: their number is no multiple of F. An image that cannot be read ends the
// source with an error that names it.
[[nodiscard]] Result<std::unique_ptr<FrameSource>> make_folder_source(const std::string& path, const Layout& layout,
                                                                      std::chrono::nanoseconds slot);

}  // namespace vialsight::station
