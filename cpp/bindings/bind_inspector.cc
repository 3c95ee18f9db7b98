#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <cmath>
#include <mutex>
#include <optional>
#include <string_view>

#include "bindings.h"
#include "vialsight/inspector.h"

namespace vialsight::bindings {

namespace {

Level level_of(std::string_view name) {
  for (const Level level : {Level::kPatch, Level::kStrip, Level::kRun}) {
    if (name == name_of(level)) return level;
  }
  throw py::value_error("level: expected 'patch', 'strip' or 'run', got '" + std::string(name) + "'");
}

Clock::time_point deadline_of(std::optional<double> budget_s) {
  if (!budget_s.has_value()) return Clock::time_point::max();
  // A day is longer than any slot, and short enough that the sum below cannot overflow.
  if (!(*budget_s > 0.0 && *budget_s <= 86400.0)) {
    throw py::value_error("budget_s: expected seconds above 0 and at most 86400, or None, got " +
                          std::to_string(*budget_s));
  }
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*budget_s));
}

// An Inspector for Python: calls are serialised, because the C++ class has one control thread and Python callers, whom
// the released GIL lets run side by side, do not.
class PythonInspector {
  // Before mutex_ is touched: after a fork, a thread that did not come along may hold it.
  void require_usable() const { raise_unless_ok(inspector_.usable()); }

  template <typename Call>
  auto without_gil(Call call) {
    require_usable();
    const py::gil_scoped_release released;
    const std::scoped_lock lock(mutex_);
    return call();
  }

 public:
  PythonInspector(const Bundle& bundle, const InspectorOptions& options)
      : inspector_(create(bundle, options)), patch_size_(bundle.layout().patch_size) {}

  StripVerdict inspect(const py::array& frames, std::optional<double> budget_s, std::uint64_t strip_id) {
    require_usable();
    const std::vector<FrameView> views = views_of(frames);
    const Clock::time_point deadline = deadline_of(budget_s);
    const py::gil_scoped_release released;
    const std::scoped_lock lock(mutex_);
    return inspector_.inspect(strip_id, views, deadline);
  }

  void open(std::uint64_t strip_id, std::optional<double> budget_s) {
    const Clock::time_point deadline = deadline_of(budget_s);
    raise_unless_ok(without_gil([&] { return inspector_.open(strip_id, deadline); }));
  }

  void submit(int frame_index, const py::array& frame) {
    if (frame.ndim() != 2) throw py::value_error("frame: expected shape (height, width), got " + describe(frame));
    const FrameView view = frame_view(frame, "frame");
    raise_unless_ok(without_gil([&] { return inspector_.submit(frame_index, view); }));
  }

  StripVerdict close() {
    return without_gil([&] { return inspector_.close(); });
  }

  using Regions = std::optional<std::vector<std::size_t>>;

  py::array_t<float> score_patches(const py::array& patches, std::size_t batch_size, const Regions& regions) {
    const bool gray8 = py::isinstance<py::array_t<std::uint8_t>>(patches);
    const std::vector<float> converted = gray8 ? unit_floats(patches) : std::vector<float>();
    const std::span<const float> values = gray8 ? converted : patch_values(patches);
    py::array_t<float> scores(patches.shape(0));
    score(values, batch_size, regions, {writable_values(scores), {}, {}});
    return scores;
  }

  py::tuple score_with_outputs(const py::array& patches, std::size_t batch_size, const Regions& regions) {
    const std::span<const float> values = patch_values(patches);
    py::array_t<float> scores(patches.shape(0));
    py::array_t<float> components({patches.shape(0), static_cast<py::ssize_t>(bundle().components().size())});
    py::dict outputs;
    std::vector<std::span<float>> targets;
    for (const OutputSpec& spec : bundle().outputs()) {
      py::array_t<float> output({patches.shape(0), py::ssize_t{spec.height}, py::ssize_t{spec.width}});
      targets.push_back(writable_values(output));
      outputs[py::str(spec.name)] = output;
    }
    score(values, batch_size, regions, {writable_values(scores), writable_values(components), targets});
    return py::make_tuple(scores, components, outputs);
  }

  py::object map(int frame, int vial, int region) {
    py::array_t<float> result({patch_size_, patch_size_});
    const std::span<float> values = writable_values(result);
    const Status status = without_gil([&] { return inspector_.map(frame, vial, region, values); });
    if (status.code() == Code::kNotFound) return py::none();
    raise_unless_ok(status);
    return result;
  }

  py::object images(int frame, int vial, int region) {
    require_usable();
    const std::scoped_lock lock(mutex_);
    const auto images = inspector_.images(frame, vial, region);
    if (!images.has_value()) return py::none();
    const py::object reconstruction =
        images->reconstruction.empty() ? py::none() : py::object(square(images->reconstruction));
    return py::make_tuple(square(images->input), reconstruction);
  }

  [[nodiscard]] const Bundle& bundle() const { return inspector_.bundle(); }
  [[nodiscard]] std::size_t batch_size() const {
    require_usable();
    return inspector_.batch_size();
  }
  [[nodiscard]] Statistics statistics() const {
    require_usable();
    return inspector_.statistics();
  }
  [[nodiscard]] Health health() const {
    require_usable();
    return inspector_.health();
  }

 private:
  void score(std::span<const float> patches, std::size_t batch_size, const Regions& regions,
             const PatchResults& results) {
    const std::vector<std::size_t> known = regions.value_or(std::vector<std::size_t>());
    if (regions.has_value() && known.empty() && !patches.empty()) {
      throw py::value_error("regions: expected one per patch, or None; got none");
    }
    raise_unless_ok(without_gil([&] { return inspector_.score_patches(patches, known, batch_size, results); }));
  }

  static Inspector create(const Bundle& bundle, const InspectorOptions& options) {
    const auto create_without_gil = [&] {
      const py::gil_scoped_release released;
      return Inspector::create(bundle, options);
    };
    return value_or_raise(create_without_gil());
  }

  static std::vector<FrameView> views_of(const py::array& frames) {
    if (frames.ndim() != 3) {
      throw py::value_error("frames: expected shape (frames, height, width), got " + describe(frames));
    }
    std::vector<FrameView> views;
    for (py::ssize_t i = 0; i < frames.shape(0); ++i) views.push_back(frame_view(frames, "frames", i));
    return views;
  }

  void require_patch_shape(const py::array& patches) const {
    if (patches.ndim() != 3 || patches.shape(1) != patch_size_ || patches.shape(2) != patch_size_) {
      throw py::value_error("patches: expected shape (n, " + std::to_string(patch_size_) + ", " +
                            std::to_string(patch_size_) + "), got " + describe(patches));
    }
  }

  std::span<const float> patch_values(const py::array& patches) const {
    require_patch_shape(patches);
    return float_values(patches, "patches", 3);
  }

  // uint8 patches as floats in [0, 1], as extraction makes them.
  std::vector<float> unit_floats(const py::array& patches) const {
    require_patch_shape(patches);
    if ((patches.flags() & py::array::c_style) == 0) {
      throw py::value_error("patches: expected C-contiguous memory; copy it with numpy.ascontiguousarray");
    }
    const auto* pixels = static_cast<const std::uint8_t*>(patches.data());
    std::vector<float> values(static_cast<std::size_t>(patches.size()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(pixels[i]) / 255.0F;
    return values;
  }

  py::array_t<float> square(std::span<const float> values) const {
    py::array_t<float> result({patch_size_, patch_size_});
    std::copy(values.begin(), values.end(), result.mutable_data());
    return result;
  }

  Inspector inspector_;
  std::mutex mutex_;
  int patch_size_;
};

Isolation isolation_of(std::string_view name) {
  if (name == "in_process") return Isolation::kInProcess;
  if (name == "worker") return Isolation::kWorker;
  throw py::value_error("isolation: expected 'in_process' or 'worker', got '" + std::string(name) + "'");
}

InspectorOptions options_of(int threads, std::string_view level, bool require_thresholds, double margin_s,
                            const std::optional<std::filesystem::path>& backend_module, bool require_fresh_frames,
                            std::string_view isolation, const Scheduling& scheduling, std::string device) {
  InspectorOptions options;
  options.device = std::move(device);
  options.require_fresh_frames = require_fresh_frames;
  options.isolation = isolation_of(isolation);
  options.scheduling = scheduling;
  options.threads = threads;
  options.level = level_of(level);
  options.require_thresholds = require_thresholds;
  if (!(margin_s >= 0.0 && margin_s <= 3600.0)) {
    throw py::value_error("margin_s: expected seconds from 0 to 3600, got " + std::to_string(margin_s));
  }
  options.margin = std::chrono::microseconds(static_cast<std::int64_t>(std::llround(margin_s * 1e6)));
  options.backend_module = backend_module.value_or(std::filesystem::path());
  return options;
}

py::dict times_of(const StripVerdict& verdict) {
  py::dict times;
  times["locate_s"] = verdict.times.locate_s;
  times["extract_s"] = verdict.times.extract_s;
  times["infer_s"] = verdict.times.infer_s;
  times["score_s"] = verdict.times.score_s;
  times["total_s"] = verdict.times.total_s;
  times["after_last_frame_s"] = verdict.times.after_last_frame_s;
  return times;
}

py::array_t<float> scores_of(const StripVerdict& verdict) {
  const auto vials = static_cast<py::ssize_t>(verdict.vials.size());
  const auto regions = static_cast<py::ssize_t>(verdict.thresholds.size());
  const py::ssize_t per_frame = vials * regions;
  const py::ssize_t frames = per_frame == 0 ? 0 : static_cast<py::ssize_t>(verdict.scores.size()) / per_frame;
  py::array_t<float> scores({frames, vials, regions});
  std::copy(verdict.scores.begin(), verdict.scores.end(), scores.mutable_data());
  return scores;
}

// (F, V, R, K)
py::array_t<float> component_scores_of(const StripVerdict& verdict) {
  const py::array_t<float> scores = scores_of(verdict);
  const py::ssize_t patches = scores.size();
  const py::ssize_t components = patches == 0 ? 0 : static_cast<py::ssize_t>(verdict.component_scores.size()) / patches;
  py::array_t<float> result({scores.shape(0), scores.shape(1), scores.shape(2), components});
  std::copy(verdict.component_scores.begin(), verdict.component_scores.end(), result.mutable_data());
  return result;
}

void register_verdict(py::module_& module) {
  py::class_<StripVerdict>(module, "StripVerdict")
      .def_readonly("strip_id", &StripVerdict::strip_id)
      .def_property_readonly("verdict", [](const StripVerdict& verdict) { return name_of(verdict.verdict); })
      .def_property_readonly("accepted",
                             [](const StripVerdict& verdict) { return verdict.verdict == Verdict::kAccept; })
      .def_property_readonly("reason", [](const StripVerdict& verdict) { return name_of(verdict.reason); })
      .def_property_readonly("scores", &scores_of)
      .def_property_readonly("component_scores", &component_scores_of)
      .def_readonly("thresholds", &StripVerdict::thresholds)
      .def_property_readonly("vials",
                             [](const StripVerdict& verdict) {
                               py::list accepted;
                               for (const Verdict vial : verdict.vials) accepted.append(vial == Verdict::kAccept);
                               return accepted;
                             })
      .def_readonly("locations", &StripVerdict::locations)
      .def_property_readonly("times", &times_of)
      .def_readonly("slack_s", &StripVerdict::slack_s)
      .def("__repr__", [](const StripVerdict& verdict) {
        return std::string("<StripVerdict ") + name_of(verdict.verdict) + ", " + name_of(verdict.reason) + ">";
      });
}

void register_statistics(py::module_& module) {
  py::class_<Statistics>(module, "Statistics")
      .def_readonly("strips", &Statistics::strips)
      .def_readonly("accepted", &Statistics::accepted)
      .def_property_readonly("rejected",
                             [](const Statistics& statistics) {
                               py::dict counts;
                               for (int i = 1; i < kReasonCount; ++i) {
                                 counts[name_of(static_cast<Reason>(i))] = statistics.rejected[i];
                               }
                               return counts;
                             })
      .def_readonly("overruns", &Statistics::overruns)
      .def_readonly("batch_cost_s", &Statistics::batch_cost_s)
      .def_readonly("frames_not_located", &Statistics::frames_not_located);
}

void register_health(py::module_& module) {
  py::class_<Health>(module, "Health")
      .def_readonly("ready", &Health::ready)
      .def_readonly("heartbeat", &Health::heartbeat)
      .def_readonly("restarts", &Health::restarts)
      .def_readonly("worker_pid", &Health::worker_pid)
      .def_readonly("last_fault", &Health::last_fault);
}

constexpr double kMarginS = 0.002;

// Inspector(source, *, …) for what `bundle_of` makes a Bundle from.
template <typename Source>
void define_constructor(py::class_<PythonInspector>& type, Bundle (*bundle_of)(const Source&)) {
  type.def(py::init([bundle_of](const Source& source, int threads, std::string_view level, bool require_thresholds,
                                double margin_s, const std::optional<std::filesystem::path>& backend_module,
                                bool require_fresh_frames, std::string_view isolation, int priority,
                                std::vector<int> cpus, bool lock_memory, std::string device) {
             return std::make_unique<PythonInspector>(
                 bundle_of(source),
                 options_of(threads, level, require_thresholds, margin_s, backend_module, require_fresh_frames,
                            isolation, {priority, std::move(cpus), lock_memory}, std::move(device)));
           }),
           py::arg("bundle"), py::kw_only(), py::arg("threads") = 0, py::arg("level") = "strip",
           py::arg("require_thresholds") = true, py::arg("margin_s") = kMarginS, py::arg("backend_module") = py::none(),
           py::arg("require_fresh_frames") = false, py::arg("isolation") = "in_process", py::arg("priority") = 0,
           py::arg("cpus") = std::vector<int>(), py::arg("lock_memory") = false, py::arg("device") = "");
}

}  // namespace

void register_inspector(py::module_& module) {
  register_verdict(module);
  register_statistics(module);
  register_health(module);
  py::class_<PythonInspector> type(module, "Inspector");
  define_constructor<Bundle>(type, [](const Bundle& bundle) { return bundle; });
  define_constructor<std::filesystem::path>(type, &load_bundle);
  type.def("inspect", &PythonInspector::inspect, py::arg("frames"), py::kw_only(), py::arg("budget_s") = py::none(),
           py::arg("strip_id") = 0)
      .def("open", &PythonInspector::open, py::arg("strip_id"), py::kw_only(), py::arg("budget_s") = py::none())
      .def("submit", &PythonInspector::submit, py::arg("frame_index"), py::arg("frame"))
      .def("close", &PythonInspector::close)
      .def("score_patches", &PythonInspector::score_patches, py::arg("patches"), py::kw_only(),
           py::arg("batch_size") = 0, py::arg("regions") = py::none())
      .def("score_with_outputs", &PythonInspector::score_with_outputs, py::arg("patches"), py::kw_only(),
           py::arg("batch_size") = 0, py::arg("regions") = py::none())
      .def("map", &PythonInspector::map, py::arg("frame"), py::arg("vial"), py::arg("region"))
      .def("images", &PythonInspector::images, py::arg("frame"), py::arg("vial"), py::arg("region"))
      .def_property_readonly("bundle", &PythonInspector::bundle)
      .def_property_readonly("batch_size", &PythonInspector::batch_size)
      .def_property_readonly("statistics", &PythonInspector::statistics)
      .def_property_readonly("health", &PythonInspector::health);
}

}  // namespace vialsight::bindings
