#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <tuple>

#include "bindings.h"
#include "vialsight/layout.h"
#include "vialsight/pose.h"

namespace vialsight::bindings {

namespace {

using PoseTuple = std::tuple<double, double, double>;

Pose pose_of(const PoseTuple& pose) { return std::make_from_tuple<Pose>(pose); }

py::array_t<float> extract_patches(const py::array& frame, const Layout& layout, const std::optional<PoseTuple>& pose) {
  if (frame.ndim() != 2) throw py::value_error("frame: expected shape (height, width), got " + describe(frame));
  const FrameView view = frame_view(frame, "frame");
  const PatchExtractor extractor = value_or_raise(PatchExtractor::create(layout));
  const auto vials = static_cast<py::ssize_t>(layout.vial_count());
  const auto regions = static_cast<py::ssize_t>(layout.region_count());
  py::array_t<float> patches({vials, regions, py::ssize_t{layout.patch_size}, py::ssize_t{layout.patch_size}});
  const std::span<float> values = writable_values(patches);
  Status status;
  {
    const py::gil_scoped_release released;
    std::vector<float> scratch(extractor.scratch_size());
    status = pose ? extractor.extract(view, pose_of(*pose), values, scratch) : extractor.extract(view, values, scratch);
  }
  raise_unless_ok(status);
  return patches;
}

using Corners = std::array<std::pair<double, double>, 4>;

Corners corners_of_box(const Layout& layout, std::size_t vial, std::size_t region, const PoseTuple& pose) {
  const Box& box = box_at(layout, vial, region);
  raise_unless_ok(check_pose(pose_of(pose), layout));
  Corners corners;
  const std::array<Point, 4> seen = box_corners(box, layout, pose_of(pose));
  for (std::size_t i = 0; i < corners.size(); ++i) corners[i] = {seen[i].x, seen[i].y};
  return corners;
}

}  // namespace

void register_patches(py::module_& module) {
  module.def("extract_patches", &extract_patches, py::arg("frame"), py::arg("layout"), py::arg("pose") = py::none());
  module.def("box_corners", &corners_of_box, py::arg("layout"), py::arg("vial"), py::arg("region"), py::arg("pose"));
}

}  // namespace vialsight::bindings
