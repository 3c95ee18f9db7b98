// The C API of an Inspector.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "c_api/c_api_support.h"

using vialsight::Code;
using vialsight::FrameView;
using vialsight::guarded;
using vialsight::Inspector;
using vialsight::InspectorObject;
using vialsight::Result;
using vialsight::Status;
using vialsight::StripVerdict;
using vialsight::with_object;
using vialsight::with_output;

namespace {

// `body` for calls that open, fill or close slots.
template <typename Body>
auto unless_driven(Body body) {
  return [body](InspectorObject& object) -> Status {
    if (!object.driven) return body(object);
    return {Code::kFailedPrecondition, "a handshake drives this inspector; use the vialsight_handshake calls"};
  };
}

template <typename Body>
vialsight_status with_slot(const char* call, const vialsight_inspector* handle, Body body) noexcept {
  return with_object(call, handle, unless_driven(body));
}

// The same, for calls that end a strip: the verdict is a reject before anything else is looked at.
template <typename Body>
vialsight_status with_verdict(const char* call, const vialsight_inspector* handle, std::uint64_t strip_id,
                              vialsight_verdict* verdict, Body body) noexcept {
  return with_output(
      call, handle, [&] { return vialsight::start_rejected(strip_id, verdict); }, unless_driven(body));
}

Status nothing_closed() {
  return {Code::kFailedPrecondition, "no strip was closed yet; open, submit and close one first"};
}

// What vialsight_inspect was given, ready for C++. Frames that cannot be read become frames without pixels.
struct Frames {
  std::vector<FrameView> views;
  Status error;  // the first

  void add(const Result<FrameView>& frame) {
    views.push_back(frame.ok() ? frame.value() : FrameView{});
    if (!frame.ok() && error.ok()) error = frame.status();
  }
};

// At most `most` of them: one frame too many is enough to be refused.
Frames frames_of(const vialsight_frame* frames, std::uint64_t count, std::size_t most) {
  Frames result;
  const std::size_t taken = std::min<std::uint64_t>(count, most);
  result.views.reserve(taken);
  const bool readable = vialsight::check_struct(frames, "frames", sizeof(vialsight_frame)).ok();
  const std::size_t stride = readable ? vialsight::struct_size_of(frames) : 0;
  const char* next = reinterpret_cast<const char*>(frames);
  for (std::size_t i = 0; i < taken; ++i, next += stride) {
    result.add(vialsight::frame_of(reinterpret_cast<const vialsight_frame*>(next)));
    if (readable && vialsight::struct_size_of(next) != stride && result.error.ok()) {
      result.views.back() = FrameView{};
      result.error = {Code::kInvalidArgument, "frames: expected structs of one struct_size; set it in each of them"};
      break;
    }
  }
  return result;
}

Status inspect(InspectorObject& object, std::uint64_t strip_id, const Frames& frames, std::int64_t deadline_ns,
               vialsight_verdict* verdict) {
  StripVerdict came = object.inspector.inspect(strip_id, frames.views, vialsight::time_of(deadline_ns));
  vialsight::write_struct(vialsight::verdict_of(came), verdict);
  if (object.open) return {Code::kFailedPrecondition, "a slot is open; close it first"};
  object.last = std::move(came);
  object.has_closed = true;
  return frames.error;
}

// Outputs that are no reconstructions are computed and dropped.
Status score_and_reconstruct(Inspector& inspector, std::span<const float> patches, std::size_t batch_size,
                             std::span<float> scores, float* reconstructions) {
  std::vector<std::vector<float>> dropped;
  std::vector<std::span<float>> outputs;
  bool found = false;
  for (const vialsight::OutputSpec& spec : inspector.bundle().outputs()) {
    const std::size_t size = scores.size() * spec.pixels();
    const bool wanted = spec.role == vialsight::OutputRole::kReconstruction;
    outputs.push_back(wanted ? std::span(reconstructions, size) : std::span(dropped.emplace_back(size)));
    found = found || wanted;
  }
  if (!found) return {Code::kFailedPrecondition, "this bundle's network reconstructs nothing; pass NULL"};
  return inspector.score_patches(patches, {}, batch_size, {scores, {}, outputs});
}

template <typename T>
Status copy_optional(const char* name, std::span<const T> values, T* target, std::uint64_t count) {
  return target == nullptr ? Status() : vialsight::copy_values(name, values, target, count);
}

}  // namespace

vialsight_status vialsight_options_init(vialsight_options* options) {
  return guarded(__func__, [&]() -> Status {
    if (Status status = vialsight::start_zeroed(options, "options"); !status.ok()) return status;
    vialsight::write_struct(vialsight::default_options(), options);
    return {};
  });
}

vialsight_status vialsight_inspector_create(const vialsight_bundle* bundle, const vialsight_options* options,
                                            vialsight_inspector** inspector) {
  return guarded(__func__, [&]() -> Status {
    if (inspector == nullptr) return vialsight::null_pointer("inspector");
    *inspector = nullptr;
    const vialsight::Bundle* found = vialsight::find(bundle);
    if (found == nullptr) return vialsight::not_a_handle(bundle);
    const auto known = vialsight::options_of(options);
    if (!known.ok()) return known.status();
    Result<Inspector> created = Inspector::create(*found, known.value());
    if (!created.ok()) return created.status();
    auto object = std::make_unique<InspectorObject>(InspectorObject{std::move(created).value(), {}});
    return vialsight::give_handle(std::move(object), inspector);
  });
}

vialsight_status vialsight_inspector_destroy(vialsight_inspector* inspector) {
  return guarded(__func__, [&]() -> Status {
    if (inspector == nullptr) return {};
    const InspectorObject* object = vialsight::find(inspector);
    if (object == nullptr) return vialsight::not_a_handle(inspector);
    if (object->driven) return {Code::kFailedPrecondition, "a handshake drives this inspector; destroy it first"};
    static_cast<void>(vialsight::take_back(inspector));
    return {};
  });
}

vialsight_status vialsight_open(vialsight_inspector* inspector, uint64_t strip_id, int64_t deadline_ns) {
  return with_slot(__func__, inspector, [&](InspectorObject& object) {
    Status status = object.inspector.open(strip_id, vialsight::time_of(deadline_ns));
    object.open = object.open || status.ok();
    return status;
  });
}

vialsight_status vialsight_submit(vialsight_inspector* inspector, int32_t frame_index, const vialsight_frame* frame) {
  return with_slot(__func__, inspector, [&](InspectorObject& object) {
    return vialsight::submit_frame(object.inspector, frame_index, frame);
  });
}

vialsight_status vialsight_submit_stamped(vialsight_inspector* inspector, int32_t frame_index,
                                          const vialsight_frame* frame, const vialsight_stamp* stamp) {
  return with_slot(__func__, inspector, [&](InspectorObject& object) {
    return vialsight::submit_frame(object.inspector, frame_index, frame, stamp);
  });
}

vialsight_status vialsight_close(vialsight_inspector* inspector, vialsight_verdict* verdict) {
  return with_verdict(__func__, inspector, 0, verdict, [&](InspectorObject& object) -> Status {
    StripVerdict came = object.inspector.close();
    vialsight::write_struct(vialsight::verdict_of(came), verdict);
    if (!object.open) return {Code::kFailedPrecondition, "expected an open slot, there is none; open one first"};
    object.open = false;
    object.last = std::move(came);
    object.has_closed = true;
    return {};
  });
}

vialsight_status vialsight_inspect(vialsight_inspector* inspector, uint64_t strip_id, const vialsight_frame* frames,
                                   uint64_t count, int64_t deadline_ns, vialsight_verdict* verdict) {
  return with_verdict(__func__, inspector, strip_id, verdict, [&](InspectorObject& object) -> Status {
    const auto most = static_cast<std::size_t>(object.inspector.bundle().layout().frames) + 1;
    return inspect(object, strip_id, frames_of(frames, count, most), deadline_ns, verdict);
  });
}

vialsight_status vialsight_scores(const vialsight_inspector* inspector, float* scores, uint64_t count) {
  return with_object(__func__, inspector, [&](const InspectorObject& object) {
    if (!object.has_closed) return nothing_closed();
    return vialsight::copy_values("scores", std::span<const float>(object.last.scores), scores, count);
  });
}

vialsight_status vialsight_thresholds(const vialsight_inspector* inspector, double* thresholds, uint64_t count) {
  return with_object(__func__, inspector, [&](const InspectorObject& object) {
    if (!object.has_closed) return nothing_closed();
    return vialsight::copy_values("thresholds", std::span<const double>(object.last.thresholds), thresholds, count);
  });
}

vialsight_status vialsight_vials(const vialsight_inspector* inspector, int32_t* vials, uint64_t count) {
  return with_object(__func__, inspector, [&](const InspectorObject& object) -> Status {
    if (!object.has_closed) return nothing_closed();
    const std::vector<vialsight::Verdict>& verdicts = object.last.vials;
    if (vials == nullptr) return vialsight::null_pointer("vials");
    if (count != verdicts.size()) return vialsight::wrong_count("vials", verdicts.size(), count);
    std::transform(verdicts.begin(), verdicts.end(), vials,
                   [](vialsight::Verdict verdict) { return static_cast<std::int32_t>(verdict); });
    return {};
  });
}

vialsight_status vialsight_get_location(const vialsight_inspector* inspector, int32_t frame,
                                        vialsight_location* location) {
  const auto prepare = [&]() -> Status {
    if (Status status = vialsight::start_zeroed(location, "location"); !status.ok()) return status;
    vialsight::write_struct(vialsight::location_of({}), location);
    return {};
  };
  return with_output(__func__, inspector, prepare, [&](const InspectorObject& object) -> Status {
    if (object.inspector.bundle().locator() == nullptr) {
      return {Code::kFailedPrecondition, "this bundle does not locate products"};
    }
    if (!object.has_closed) return nothing_closed();
    const std::vector<vialsight::Location>& locations = object.last.locations;
    const auto index = static_cast<std::size_t>(frame);  // a negative one is a huge one
    if (index >= locations.size()) {
      return {Code::kInvalidArgument,
              "frame: expected an index below " + std::to_string(locations.size()) + ", got " + std::to_string(frame)};
    }
    vialsight::write_struct(vialsight::location_of(locations[index]), location);
    return {};
  });
}

vialsight_status vialsight_images(const vialsight_inspector* inspector, int32_t frame, int32_t vial, int32_t region,
                                  float* input, float* reconstruction, uint64_t count) {
  return with_object(__func__, inspector, [&](const InspectorObject& object) -> Status {
    const auto images = object.inspector.images(frame, vial, region);
    if (!images.has_value()) {
      return {Code::kNotFound, "expected a patch that was scored for the strip closed last, got frame " +
                                   std::to_string(frame) + ", vial " + std::to_string(vial) + ", region " +
                                   std::to_string(region)};
    }
    if (Status status = copy_optional("input", images->input, input, count); !status.ok()) return status;
    return copy_optional("reconstruction", images->reconstruction, reconstruction, count);
  });
}

vialsight_status vialsight_map(const vialsight_inspector* inspector, int32_t frame, int32_t vial, int32_t region,
                               float* map, uint64_t count) {
  return with_object(__func__, inspector, [&](const InspectorObject& object) -> Status {
    if (map == nullptr) return vialsight::null_pointer("map");
    return object.inspector.map(frame, vial, region, {map, count});
  });
}

vialsight_status vialsight_score_patches(vialsight_inspector* inspector, const float* patches, uint64_t count,
                                         uint64_t batch_size, float* scores, float* reconstructions) {
  return with_object(__func__, inspector, [&](InspectorObject& object) -> Status {
    if (patches == nullptr) return vialsight::null_pointer("patches");
    if (scores == nullptr) return vialsight::null_pointer("scores");
    const std::size_t pixels = object.inspector.bundle().layout().pixels_per_patch();
    if (count > SIZE_MAX / sizeof(float) / pixels) {
      return {Code::kInvalidArgument, "count: " + std::to_string(count) + " patches do not fit into memory"};
    }
    return reconstructions == nullptr
               ? object.inspector.score_patches({patches, count * pixels}, {}, batch_size, {{scores, count}, {}, {}})
               : score_and_reconstruct(object.inspector, {patches, count * pixels}, batch_size, {scores, count},
                                       reconstructions);
  });
}

vialsight_status vialsight_get_statistics(const vialsight_inspector* inspector, vialsight_statistics* statistics) {
  const auto prepare = [&] { return vialsight::start_zeroed(statistics, "statistics"); };
  return with_output(__func__, inspector, prepare, [&](const InspectorObject& object) -> Status {
    const vialsight::Statistics came = object.inspector.statistics();
    vialsight_statistics result = {};
    result.strips = came.strips;
    result.accepted = came.accepted;
    std::copy(std::begin(came.rejected), std::end(came.rejected), result.rejected);
    result.overruns = came.overruns;
    result.batch_cost_s = came.batch_cost_s;
    result.frames_not_located = came.frames_not_located;
    vialsight::write_struct(result, statistics);
    return {};
  });
}

vialsight_status vialsight_get_health(const vialsight_inspector* inspector, vialsight_health* health) {
  const auto prepare = [&] { return vialsight::start_zeroed(health, "health"); };
  return with_output(__func__, inspector, prepare, [&](const InspectorObject& object) -> Status {
    const vialsight::Health came = object.inspector.health();
    vialsight_health result = {};
    result.ready = came.ready ? 1 : 0;
    result.worker_pid = came.worker_pid;
    result.heartbeat = came.heartbeat;
    result.restarts = came.restarts;
    vialsight::write_struct(result, health);
    return {};
  });
}

vialsight_status vialsight_last_fault(const vialsight_inspector* inspector, char* text, uint64_t capacity) {
  return with_object(__func__, inspector, [&](const InspectorObject& object) {
    const std::string fault = object.inspector.health().last_fault;
    return vialsight::copy_text(std::string_view(fault).substr(0, capacity > 0 ? capacity - 1 : 0), text, capacity);
  });
}
