// Layout::from_json: what it accepts is a layout, and is written and read back as the same.
#include "fuzz_input.h"
#include "vialsight/layout.h"
#include "vialsight/patches.h"

using vialsight::Layout;
using vialsight::fuzz::Input;
using vialsight::fuzz::require;

namespace {

// Beyond this the resampling weights take megabytes, and find nothing that small ones do not.
constexpr int kSmall = 512;

bool is_small(const Layout& layout) {
  return layout.frame_width <= kSmall && layout.frame_height <= kSmall && layout.patch_size <= kSmall &&
         layout.patches_per_frame() <= kSmall;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const vialsight::Result<Layout> layout = Layout::from_json(Input(data, size).text());
  if (!layout.ok()) {
    require(!layout.status().message().empty(), "an error says what is wrong");
    return 0;
  }
  require(layout.value().validate().ok(), "what was read is a layout");
  const vialsight::Result<Layout> again = Layout::from_json(layout.value().to_json());
  require(again.ok() && again.value() == layout.value(), "a layout survives being written and read");
  if (is_small(layout.value())) {
    require(vialsight::PatchExtractor::create(layout.value()).ok(), "a layout's patches can be extracted");
  }
  return 0;
}
