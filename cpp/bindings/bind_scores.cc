#include <pybind11/stl.h>

#include <optional>

#include "bindings.h"
#include "imaging/grey_range.h"
#include "vialsight/decision.h"
#include "vialsight/heatmap.h"
#include "vialsight/ssim.h"

namespace vialsight::bindings {

namespace {

void require_same_shape(const py::array& x, const py::array& y) {
  if (!x.attr("shape").equal(y.attr("shape"))) {
    throw py::value_error("expected x and y of the same shape, got " + describe(x) + " and " + describe(y));
  }
}

py::array_t<float> ssim_of_stack(const py::array& x, const py::array& y) {
  const std::span<const float> xs = float_values(x, "x", 3);
  const std::span<const float> ys = float_values(y, "y", 3);
  require_same_shape(x, y);
  for (const std::span<const float> each : {xs, ys}) {
    if (const float* strange = beyond_grey_values(each); strange != nullptr) {
      throw py::value_error("ssim: expected grey values from 0 to 1, got " + std::to_string(*strange) +
                            "; divide pixels by 2^bit_depth - 1");
    }
  }
  const int height = static_cast<int>(x.shape(1));
  const int width = static_cast<int>(x.shape(2));
  const auto pixels = static_cast<std::size_t>(x.shape(1) * x.shape(2));
  py::array_t<float> result(x.shape(0));
  const std::span<float> values = writable_values(result);
  Status status;
  {
    const py::gil_scoped_release released;
    std::vector<double> scratch(ssim_scratch_size(height, width));
    for (std::size_t i = 0; status.ok() && i < values.size(); ++i) {
      double value = 0.0;
      status = ssim(xs.subspan(i * pixels, pixels), ys.subspan(i * pixels, pixels), height, width, scratch, value);
      values[i] = static_cast<float>(value);
    }
  }
  raise_unless_ok(status);
  return result;
}

std::optional<HeatmapScale> scale_of(std::optional<float> vmin, std::optional<float> vmax) {
  if (vmin.has_value() != vmax.has_value()) {
    throw py::value_error("expected both vmin and vmax, or neither; got only one of them");
  }
  if (!vmin.has_value()) return std::nullopt;
  return HeatmapScale{*vmin, *vmax};
}

py::array_t<float> heatmap_of_stack(const py::array& maps, std::optional<float> vmin, std::optional<float> vmax) {
  const std::span<const float> map_values = float_values(maps, "maps", 3);
  const std::optional<HeatmapScale> scale = scale_of(vmin, vmax);
  py::array_t<float> result({maps.shape(0), maps.shape(1), maps.shape(2)});
  const std::span<float> values = writable_values(result);
  const auto pixels = static_cast<std::size_t>(maps.shape(1) * maps.shape(2));
  Status status;
  {
    const py::gil_scoped_release released;
    for (std::size_t start = 0; status.ok() && start < values.size(); start += pixels) {
      status = heatmap(map_values.subspan(start, pixels), scale, values.subspan(start, pixels));
    }
  }
  raise_unless_ok(status);
  return result;
}

py::tuple decide_strip(const Layout& layout, const py::array& scores, const std::vector<double>& thresholds) {
  const std::span<const float> values = float_values(scores, "scores", 3);
  if (scores.shape(0) != layout.frames || scores.shape(1) != static_cast<py::ssize_t>(layout.vial_count()) ||
      scores.shape(2) != static_cast<py::ssize_t>(layout.region_count())) {
    throw py::value_error("scores: expected shape (frames, vials, regions) of the layout, got " + describe(scores));
  }
  if (thresholds.size() != layout.region_count()) {
    throw py::value_error("thresholds: expected one per region (" + std::to_string(layout.region_count()) + "), got " +
                          std::to_string(thresholds.size()));
  }
  std::vector<Verdict> vials(layout.vial_count());
  const Verdict verdict = decide(layout, values, thresholds, vials);
  py::list accepted;
  for (const Verdict vial : vials) accepted.append(vial == Verdict::kAccept);
  return py::make_tuple(accepted, verdict == Verdict::kAccept);
}

}  // namespace

void register_scores(py::module_& module) {
  module.def("ssim", &ssim_of_stack, py::arg("x"), py::arg("y"));
  module.def("heatmap", &heatmap_of_stack, py::arg("maps"), py::kw_only(), py::arg("vmin") = py::none(),
             py::arg("vmax") = py::none());
  module.def("decide", &decide_strip, py::arg("layout"), py::arg("scores"), py::arg("thresholds"));
}

}  // namespace vialsight::bindings
