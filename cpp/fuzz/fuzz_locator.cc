// Locator: whatever it is made of and whatever it sees, a product is found only within the reach and below the limit.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "fuzz_input.h"
#include "vialsight/locator.h"

using vialsight::Location;
using vialsight::Locator;
using vialsight::LocatorModel;
using vialsight::fuzz::Input;
using vialsight::fuzz::require;

namespace {

// Grey values, or any bits at all: infinities and what is no number, too.
std::vector<float> take_values(Input& input, std::size_t count, bool any) {
  std::vector<float> values(count);
  for (float& value : values) {
    value = any ? std::bit_cast<float>(input.take<std::uint32_t>())
                : static_cast<float>(input.take<std::uint8_t>()) / 255.0F;
  }
  return values;
}

LocatorModel take_model(Input& input) {
  const auto flags = input.take<std::uint8_t>();
  LocatorModel model;
  model.kind = static_cast<vialsight::LocatorKind>(flags % 4);
  model.scale = input.take_in(0, 3);
  model.frame_width = input.take_in(0, 64);
  model.frame_height = input.take_in(0, 64);
  model.bit_depth = input.take_in(7, 17);
  model.reach_px = input.take_in(0, 20);
  model.reach_turn = 0.001 * input.take_in(0, 60);
  model.residual_limit = 0.01 * input.take_in(0, 101);
  const int scale = model.scale > 0 ? model.scale : 1;
  const auto pixels = static_cast<std::size_t>(model.frame_width / scale * (model.frame_height / scale));
  model.template_pixels = take_values(input, pixels, (flags & 4U) != 0);
  model.weights = take_values(input, pixels, (flags & 8U) != 0);
  return model;
}

void check(const LocatorModel& model, const Location& location) {
  require(location.found == (location.reason == vialsight::NotFound::kNone), "what is not found says why");
  require(location.reason != vialsight::NotFound::kNotSearched, "somebody looked");
  if (!location.found) return;
  const vialsight::Pose& pose = location.pose;
  // Written so that what is no number fails.
  require(std::abs(pose.dx) <= model.reach_px && std::abs(pose.dy) <= model.reach_px, "found within the reach");
  require(std::abs(pose.turn) <= model.reach_turn, "found within the reach's turn");
  require(location.residual <= model.residual_limit, "found below the limit");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const LocatorModel model = take_model(input);
  vialsight::Result<Locator> locator = Locator::create(model);
  if (!locator.ok()) {
    require(!locator.status().message().empty(), "an error says what is wrong");
    return 0;
  }
  const std::size_t bytes = model.bit_depth > 8 ? 2 : 1;
  const auto row = static_cast<std::size_t>(model.frame_width) * bytes;
  std::vector<std::uint16_t> pixels((row * static_cast<std::size_t>(model.frame_height) + 1) / 2);
  for (std::uint16_t& pixel : pixels) pixel = input.take<std::uint16_t>();
  const vialsight::FrameView frame{pixels.data(), model.frame_width, model.frame_height,
                                   static_cast<std::ptrdiff_t>(row),
                                   bytes == 2 ? vialsight::PixelFormat::kGray16 : vialsight::PixelFormat::kGray8};
  const vialsight::Result<Location> first = locator.value().locate(frame);
  require(first.ok(), "a frame of the model's size is looked at");
  check(model, first.value());
  const vialsight::Result<Location> again = locator.value().locate(frame);
  require(again.value().reason == first.value().reason && again.value().steps == first.value().steps,
          "the same frame is seen alike");
  return 0;
}
