#include "bundle/bundle_locator.h"

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "base/messages.h"
#include "base/npy.h"

namespace vialsight {
namespace {

using nlohmann::json;

constexpr std::size_t kMinGoldenFrames = 2;
constexpr std::size_t kMaxGoldenFrames = 64;

Status read_reach(const json& value, const std::string& path, LocatorModel& model) {
  ObjectReader reader(value, path);
  model.reach_px = reader.require_number("shift_px");
  model.reach_turn = reader.require_number("turn_rad");
  return reader.finish();
}

Status read_limits(const json& value, const std::string& path, LocatorModel& model) {
  ObjectReader reader(value, path);
  model.residual_limit = reader.require_number("residual");
  model.apart_px = reader.require_number("apart_px");
  model.apart_turn = reader.require_number("apart_turn_rad");
  return reader.finish();
}

Shape reduced_shape(const LocatorModel& model) {
  return {static_cast<std::size_t>(model.frame_height / model.scale),
          static_cast<std::size_t>(model.frame_width / model.scale)};
}

// How many golden frames there are is found in the file of their poses.
Result<std::size_t> count_golden(const std::vector<std::byte>& bytes, const std::string& name) {
  const Result<NpyArray> poses = parse_npy_f32(bytes, name);
  if (!poses.ok()) return poses.status();
  const Shape& shape = poses.value().shape;
  const bool fits = shape.size() == 2 && shape[0] >= kMinGoldenFrames && shape[0] <= kMaxGoldenFrames && shape[1] == 3;
  if (fits) return shape[0];
  return corrupt(name + ": expected shape (n, 3), n from 2 to 64, got " + shape_text(shape));
}

}  // namespace

std::optional<LocatorModel> read_locate(const json* value, const std::string& path, const Layout& layout,
                                        Status& status) {
  const bool locates = layout.locate != LocatorKind::kNone;
  if (locates != (value != nullptr)) {
    status = corrupt(path + ": expected " + (locates ? "an object" : "null") + ", because the layout's \"locate\" is " +
                     in_quotes(name_of(layout.locate)) + ", got " + (locates ? "null" : "an object"));
  }
  if (value == nullptr || !locates) return std::nullopt;
  ObjectReader reader(*value, path);
  LocatorModel model;
  model.kind = layout.locate;
  model.frame_width = layout.frame_width;
  model.frame_height = layout.frame_height;
  model.bit_depth = layout.bit_depth;
  reader.require_constant("model", name_of(layout.locate));
  model.scale = reader.require_int("scale", 1, kMaxLocatorScale);
  reader.merge(read_reach(reader.require_object("reach"), reader.path_of("reach"), model));
  reader.merge(read_limits(reader.require_object("limits"), reader.path_of("limits"), model));
  status = reader.finish();
  return model;
}

Result<LocatorMemory> read_locator(const FileBytes& bytes, const std::map<std::string, FileEntry>& files,
                                   const LocatorModel& model) {
  const auto read = [&](const char* role, const Shape& shape) {
    return parse_array(bytes.at(role), files.at(role).name, shape);
  };
  LocatorMemory memory{model, 0, {}, {}};
  const Shape shape = reduced_shape(model);
  Status status = take(count_golden(bytes.at(kLocatorPosesRole), files.at(kLocatorPosesRole).name), memory.count);
  if (status.ok()) status = take(read(kLocatorTemplateRole, shape), memory.model.template_pixels);
  if (status.ok()) status = take(read(kLocatorWeightsRole, shape), memory.model.weights);
  if (status.ok()) status = take(read(kLocatorFramesRole, {memory.count, shape[0], shape[1]}), memory.frames);
  if (status.ok()) status = take(read(kLocatorPosesRole, {memory.count, 3}), memory.poses);
  if (!status.ok()) return status;
  const Result<Locator> locator = Locator::create(memory.model);
  if (!locator.ok()) return corrupt("manifest.json: locate: " + locator.status().message());
  return memory;
}

}  // namespace vialsight
