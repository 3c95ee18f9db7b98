#include "bindings.h"
#include "vialsight/layout.h"

namespace vialsight::bindings {

namespace {

py::array_t<float> extract_patches(const py::array& frame, const Layout& layout) {
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
    status = extractor.extract(view, values, scratch);
  }
  raise_unless_ok(status);
  return patches;
}

}  // namespace

void register_patches(py::module_& module) {
  module.def("extract_patches", &extract_patches, py::arg("frame"), py::arg("layout"));
}

}  // namespace vialsight::bindings
