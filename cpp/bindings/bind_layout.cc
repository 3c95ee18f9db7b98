#include <pybind11/operators.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <array>
#include <filesystem>
#include <tuple>

#include "bindings.h"
#include "vialsight/layout.h"

namespace vialsight::bindings {

namespace {

constexpr const char* kError = "DataError";

Layout make_layout(std::string name, int frame_width, int frame_height, std::vector<std::string> regions,
                   const std::vector<std::vector<std::array<int, 4>>>& boxes, int patch_size, int frames, int bit_depth,
                   const std::string& locate) {
  Layout layout;
  layout.name = std::move(name);
  layout.frame_width = frame_width;
  layout.frame_height = frame_height;
  layout.bit_depth = bit_depth;
  layout.frames = frames;
  layout.patch_size = patch_size;
  layout.regions = std::move(regions);
  for (const auto& vial : boxes) {
    auto& row = layout.boxes.emplace_back();
    for (const auto& [x, y, width, height] : vial) row.push_back({x, y, width, height});
  }
  layout.locate = locator_kind(locate);
  raise_unless_ok(layout.validate(), kError);
  return layout;
}

std::tuple<int, int, int, int> box_of(const Layout& layout, std::size_t vial, std::size_t region) {
  const Box& box = box_at(layout, vial, region);
  return {box.x, box.y, box.width, box.height};
}

}  // namespace

LocatorKind locator_kind(const std::string& name) {
  for (const LocatorKind kind : {LocatorKind::kNone, LocatorKind::kTranslation, LocatorKind::kRigid}) {
    if (name == name_of(kind)) return kind;
  }
  throw py::value_error("expected \"none\", \"translation\" or \"rigid\", got \"" + name + "\"");
}

const Box& box_at(const Layout& layout, std::size_t vial, std::size_t region) {
  if (vial >= layout.vial_count() || region >= layout.region_count()) {
    throw py::index_error("expected vial < " + std::to_string(layout.vial_count()) + " and region < " +
                          std::to_string(layout.region_count()) + ", got " + std::to_string(vial) + ", " +
                          std::to_string(region));
  }
  return layout.boxes[vial][region];
}

void register_layout(py::module_& module) {
  py::class_<Layout>(module, "Layout")
      .def(py::init(&make_layout), py::kw_only(), py::arg("name"), py::arg("frame_width"), py::arg("frame_height"),
           py::arg("regions"), py::arg("boxes"), py::arg("patch_size") = 256, py::arg("frames") = 1,
           py::arg("bit_depth") = 8, py::arg("locate") = "none")
      .def_static(
          "from_json", [](const std::string& text) { return value_or_raise(Layout::from_json(text), kError); },
          py::arg("text"))
      .def_static(
          "load", [](const std::filesystem::path& path) { return value_or_raise(Layout::load(path), kError); },
          py::arg("path"))
      .def("to_json", &Layout::to_json)
      .def("box", &box_of, py::arg("vial"), py::arg("region"))
      .def_readonly("name", &Layout::name)
      .def_readonly("frame_width", &Layout::frame_width)
      .def_readonly("frame_height", &Layout::frame_height)
      .def_readonly("bit_depth", &Layout::bit_depth)
      .def_readonly("frames", &Layout::frames)
      .def_readonly("patch_size", &Layout::patch_size)
      .def_readonly("regions", &Layout::regions)
      .def_property_readonly("locate", [](const Layout& layout) { return name_of(layout.locate); })
      .def_property_readonly("vials", &Layout::vial_count)
      .def_property_readonly("patches_per_frame", &Layout::patches_per_frame)
      .def_property_readonly("patches_per_strip", &Layout::patches_per_strip)
      .def(py::self == py::self)
      .def("__hash__", [](const Layout& layout) { return py::hash(py::str(layout.to_json())); })
      .def("__repr__", [](const Layout& layout) { return "<Layout " + layout.name + ">"; });
}

}  // namespace vialsight::bindings
