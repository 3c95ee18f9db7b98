// The one definition of SSIM that a bundle may state.
#pragma once

#include "scoring/component.h"
#include "vialsight/ssim.h"

namespace vialsight {

// Reads "window" to "dynamic_range", each of one allowed value, and checks that a patch holds the window.
inline void require_ssim_constants(ObjectReader& reader, const ScoreInputs& inputs) {
  reader.require_constant("window", "gaussian");
  reader.require_constant("window_size", kSsimWindow);
  reader.require_constant("sigma", kSsimSigma);
  reader.require_constant("padding", "valid");
  reader.require_constant("covariance", "population");
  reader.require_constant("k1", kSsimK1);
  reader.require_constant("k2", kSsimK2);
  reader.require_constant("dynamic_range", 1.0);
  if (inputs.patch_size < kSsimWindow) {
    reader.fail("window_size", "patches of at least 11x11 pixels", std::to_string(inputs.patch_size));
  }
}

}  // namespace vialsight
