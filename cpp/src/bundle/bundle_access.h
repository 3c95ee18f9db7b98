// Door for the library's own sources to what Bundle keeps private.
#pragma once

#include "vialsight/bundle.h"

namespace vialsight {

struct BundleAccess {
  // A bundle of nothing, for objects that were moved from.
  [[nodiscard]] static Bundle empty();
};

}  // namespace vialsight
