// The C API of a bundle.
#include <memory>
#include <string>
#include <utility>

#include "c_api/c_api_support.h"

using vialsight::Bundle;
using vialsight::Code;
using vialsight::guarded;
using vialsight::Layout;
using vialsight::Result;
using vialsight::Status;
using vialsight::with_object;

namespace {

Status check_index(const char* name, std::int32_t index, std::size_t count) {
  if (index >= 0 && static_cast<std::size_t>(index) < count) return {};
  return {Code::kInvalidArgument,
          std::string(name) + ": expected 0 to " + std::to_string(count - 1) + ", got " + std::to_string(index)};
}

vialsight_layout layout_of(const Layout& layout) noexcept {
  vialsight_layout result = {};
  result.frame_width = layout.frame_width;
  result.frame_height = layout.frame_height;
  result.bit_depth = layout.bit_depth;
  result.frames = layout.frames;
  result.vials = static_cast<std::int32_t>(layout.vial_count());
  result.regions = static_cast<std::int32_t>(layout.region_count());
  result.patch_size = layout.patch_size;
  return result;
}

}  // namespace

vialsight_status vialsight_bundle_load(const char* folder, vialsight_bundle** bundle) {
  return guarded(__func__, [&]() -> Status {
    if (bundle == nullptr) return vialsight::null_pointer("bundle");
    *bundle = nullptr;
    if (folder == nullptr) return vialsight::null_pointer("folder");
    Result<Bundle> loaded = Bundle::load(folder);
    if (!loaded.ok()) return loaded.status();
    return vialsight::give_handle(std::make_unique<Bundle>(std::move(loaded).value()), bundle);
  });
}

vialsight_status vialsight_bundle_destroy(vialsight_bundle* bundle) {
  return guarded(__func__, [&]() -> Status {
    if (bundle == nullptr) return {};
    return vialsight::take_back(bundle) != nullptr ? Status() : vialsight::not_a_handle(bundle);
  });
}

vialsight_status vialsight_bundle_name(const vialsight_bundle* bundle, char* text, uint64_t capacity) {
  return with_object(__func__, bundle,
                     [&](const Bundle& found) { return vialsight::copy_text(found.name(), text, capacity); });
}

vialsight_status vialsight_bundle_sha256(const vialsight_bundle* bundle, char* text, uint64_t capacity) {
  return with_object(__func__, bundle,
                     [&](const Bundle& found) { return vialsight::copy_text(found.sha256(), text, capacity); });
}

vialsight_status vialsight_bundle_layout(const vialsight_bundle* bundle, vialsight_layout* layout) {
  return with_object(__func__, bundle, [&](const Bundle& found) -> Status {
    if (Status status = vialsight::start_zeroed(layout, "layout"); !status.ok()) return status;
    vialsight::write_struct(layout_of(found.layout()), layout);
    return {};
  });
}

vialsight_status vialsight_bundle_region_name(const vialsight_bundle* bundle, int32_t region, char* text,
                                              uint64_t capacity) {
  return with_object(__func__, bundle, [&](const Bundle& found) -> Status {
    const Layout& layout = found.layout();
    if (Status status = check_index("region", region, layout.region_count()); !status.ok()) return status;
    return vialsight::copy_text(layout.regions[static_cast<std::size_t>(region)], text, capacity);
  });
}

vialsight_status vialsight_bundle_box(const vialsight_bundle* bundle, int32_t vial, int32_t region, int32_t box[4]) {
  return with_object(__func__, bundle, [&](const Bundle& found) -> Status {
    const Layout& layout = found.layout();
    if (box == nullptr) return vialsight::null_pointer("box");
    if (Status status = check_index("vial", vial, layout.vial_count()); !status.ok()) return status;
    if (Status status = check_index("region", region, layout.region_count()); !status.ok()) return status;
    const vialsight::Box& source = layout.boxes[static_cast<std::size_t>(vial)][static_cast<std::size_t>(region)];
    box[0] = source.x;
    box[1] = source.y;
    box[2] = source.width;
    box[3] = source.height;
    return {};
  });
}

vialsight_status vialsight_bundle_thresholds(const vialsight_bundle* bundle, int32_t level, double* thresholds,
                                             uint64_t count) {
  return with_object(__func__, bundle, [&](const Bundle& found) -> Status {
    if (Status status = check_index("level", level, VIALSIGHT_LEVEL_RUN + 1); !status.ok()) return status;
    const auto values = found.thresholds(static_cast<vialsight::Level>(level));
    if (values.empty()) {
      return {Code::kFailedPrecondition, "bundle \"" + found.name() + "\" has no thresholds for level " +
                                             vialsight_level_name(level) + "; run: vialsight calibrate"};
    }
    return vialsight::copy_values("thresholds", values, thresholds, count);
  });
}
