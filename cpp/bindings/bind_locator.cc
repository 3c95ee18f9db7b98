#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "bindings.h"
#include "vialsight/locator.h"

namespace vialsight::bindings {

namespace {

FrameView frame_of(const py::array& frame) {
  if (frame.ndim() != 2) throw py::value_error("frame: expected shape (height, width), got " + describe(frame));
  return frame_view(frame, "frame");
}

// Of the frames that were averaged to so many pixels, unless it is said.
int edge_of(int given, py::ssize_t averaged, int scale) {
  constexpr py::ssize_t kLongest = std::numeric_limits<int>::max();
  return given == 0 ? static_cast<int>(std::clamp(averaged * scale, py::ssize_t{0}, kLongest)) : given;
}

Locator make_locator(const py::array& pattern, const py::array& weights, int scale, const std::string& kind,
                     double reach_px, double reach_turn, double residual_limit, double apart_px, double apart_turn,
                     int frame_width, int frame_height, int bit_depth) {
  const std::span<const float> pixels = float_values(pattern, "template", 2);
  const std::span<const float> given_weights = float_values(weights, "weights", 2);
  if (!pattern.attr("shape").equal(weights.attr("shape"))) {
    throw py::value_error("weights: expected the template's shape, got " + describe(pattern) + " and " +
                          describe(weights));
  }
  LocatorModel model;
  model.kind = locator_kind(kind);
  model.frame_width = edge_of(frame_width, pattern.shape(1), scale);
  model.frame_height = edge_of(frame_height, pattern.shape(0), scale);
  model.bit_depth = bit_depth;
  model.scale = scale;
  model.template_pixels.assign(pixels.begin(), pixels.end());
  model.weights.assign(given_weights.begin(), given_weights.end());
  model.reach_px = reach_px;
  model.reach_turn = reach_turn;
  model.residual_limit = residual_limit;
  model.apart_px = apart_px;
  model.apart_turn = apart_turn;
  return value_or_raise(Locator::create(model));
}

Location locate(Locator& locator, const py::array& frame) {
  const FrameView view = frame_of(frame);
  Result<Location> location = Location();
  {
    const py::gil_scoped_release released;
    location = locator.locate(view);
  }
  return value_or_raise(std::move(location));
}

Location locate_reduced(Locator& locator, const py::array& reduced) {
  const std::span<const float> values = float_values(reduced, "reduced", 2);
  Result<Location> location = Location();
  {
    const py::gil_scoped_release released;
    location = locator.locate_reduced(values);
  }
  return value_or_raise(std::move(location));
}

bool agree(const std::vector<Location>& frames, double apart_px, double apart_turn) {
  LocatorModel limits;
  limits.apart_px = apart_px;
  limits.apart_turn = apart_turn;
  return poses_agree(frames, limits);
}

py::array_t<float> reduced_frame(const py::array& frame, int scale, int bit_depth) {
  const FrameView view = frame_of(frame);
  const py::ssize_t divisor = std::max(scale, 1);
  py::array_t<float> reduced({frame.shape(0) / divisor, frame.shape(1) / divisor});
  const std::span<float> values = writable_values(reduced);
  const int depth = bit_depth == 0 ? 8 * static_cast<int>(frame.itemsize()) : bit_depth;
  Status status;
  {
    const py::gil_scoped_release released;
    status = reduce_frame(view, scale, depth, values);
  }
  raise_unless_ok(status);
  return reduced;
}

}  // namespace

void register_locator(py::module_& module) {
  py::class_<Location>(module, "Location")
      .def_readonly("found", &Location::found)
      .def_property_readonly("reason", [](const Location& location) { return name_of(location.reason); })
      .def_property_readonly("dx", [](const Location& location) { return location.pose.dx; })
      .def_property_readonly("dy", [](const Location& location) { return location.pose.dy; })
      .def_property_readonly("turn", [](const Location& location) { return location.pose.turn; })
      .def_readonly("residual", &Location::residual)
      .def_readonly("contrast", &Location::contrast)
      .def_readonly("steps", &Location::steps);
  py::class_<Locator>(module, "Locator")
      .def(py::init(&make_locator), py::arg("template"), py::arg("weights"), py::kw_only(), py::arg("scale"),
           py::arg("kind"), py::arg("reach_px"), py::arg("reach_turn"), py::arg("residual_limit"),
           py::arg("apart_px") = LocatorModel().apart_px, py::arg("apart_turn") = LocatorModel().apart_turn,
           py::arg("frame_width") = 0, py::arg("frame_height") = 0, py::arg("bit_depth") = 8)
      .def("locate", &locate, py::arg("frame"))
      .def("locate_reduced", &locate_reduced, py::arg("reduced"));
  module.def("poses_agree", &agree, py::arg("frames"), py::kw_only(), py::arg("apart_px"), py::arg("apart_turn"));
  module.def("locator_scale", &locator_scale, py::arg("frame_width"), py::arg("frame_height"));
  module.def("reduced_frame", &reduced_frame, py::arg("frame"), py::arg("scale"), py::kw_only(),
             py::arg("bit_depth") = 0);
}

}  // namespace vialsight::bindings
