// Frames of the product of located_bundle.h as a camera takes them: with noise, so that no two are alike.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include "blob_product.h"
#include "vialsight/patches.h"

namespace vialsight::test {

// About one gray value of 8 bits.
inline Frame8 taken(const Picture& picture, std::mt19937& random) {
  std::normal_distribution<double> noise(0.0, 0.004);
  Picture noisy = picture;
  for (double& value : noisy.values) value += noise(random);
  return Frame8(noisy, 8);
}
inline Frame8 taken(const Pose& pose, std::mt19937& random) { return taken(BlobProduct().draw(pose), random); }

inline std::vector<FrameView> views_of(const std::vector<Frame8>& frames) {
  std::vector<FrameView> views;
  std::transform(frames.begin(), frames.end(), std::back_inserter(views),
                 [](const Frame8& each) { return each.view(); });
  return views;
}

}  // namespace vialsight::test
