// A bundle of a product made of blots, which is located: 2 frames of 320×256 pixels, 2 vials, 2 regions, 48×48 patches.
#pragma once

#include <array>
#include <vector>

#include "blob_product.h"
#include "bundle_writer.h"
#include "vialsight/locator.h"

namespace vialsight::test {

inline constexpr std::array<Pose, 3> kGoldenPoses = {{{0.0, 0.0, 0.0}, {4.0, -3.0, 0.005}, {-6.0, 2.5, -0.01}}};

inline Layout located_layout() {
  Layout layout;
  layout.name = "blots";
  layout.frame_width = 320;
  layout.frame_height = 256;
  layout.frames = 2;
  layout.patch_size = 48;
  layout.regions = {"top", "bottom"};
  layout.boxes = {{{60, 50, 48, 48}, {60, 150, 48, 48}}, {{200, 50, 48, 48}, {200, 150, 48, 48}}};
  layout.locate = LocatorKind::kRigid;
  return layout;
}

inline std::vector<float> reduced_blots(const Pose& pose, int scale) {
  std::vector<float> reduced(static_cast<std::size_t>(320 / scale * (256 / scale)));
  const Frame8 frame(BlobProduct().draw(pose), 8);
  static_cast<void>(reduce_frame(frame.view(), scale, 8, reduced));
  return reduced;
}

inline LocatorModel blot_locator() {
  LocatorModel model;
  model.frame_width = 320;
  model.frame_height = 256;
  model.scale = 2;
  model.template_pixels = reduced_blots({}, model.scale);
  model.weights.assign(model.template_pixels.size(), 1.0F);
  model.residual_limit = 0.01;
  model.apart_px = 2.0;
  model.apart_turn = 0.005;
  return model;
}

inline BundleWriter located_bundle() {
  BundleWriter writer(located_layout());
  const LocatorModel model = blot_locator();
  Result<Locator> locator = Locator::create(model);
  std::vector<float> frames;
  std::vector<float> poses;
  for (const Pose& pose : kGoldenPoses) {
    const std::vector<float> frame = reduced_blots(pose, model.scale);
    const Pose found = locator.value().locate_reduced(frame).value().pose;
    frames.insert(frames.end(), frame.begin(), frame.end());
    for (const double value : {found.dx, found.dy, found.turn}) poses.push_back(static_cast<float>(value));
  }
  writer.add_locator(model, frames, poses);
  return writer;
}

}  // namespace vialsight::test
