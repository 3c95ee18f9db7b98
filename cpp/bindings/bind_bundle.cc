#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <map>
#include <optional>

#include "bindings.h"
#include "vialsight/bundle.h"

namespace vialsight::bindings {

namespace {

std::map<std::string, std::optional<std::vector<double>>> thresholds_of(const Bundle& bundle) {
  std::map<std::string, std::optional<std::vector<double>>> sets;
  for (const Level level : {Level::kPatch, Level::kStrip, Level::kRun}) {
    const std::span<const double> values = bundle.thresholds(level);
    if (values.empty()) {
      sets[name_of(level)] = std::nullopt;
    } else {
      sets[name_of(level)] = std::vector<double>(values.begin(), values.end());
    }
  }
  return sets;
}

py::object heatmap_scale_of(const Bundle& bundle, std::size_t region) {
  const std::optional<HeatmapScale> scale = bundle.heatmap_scale(region);
  if (!scale.has_value()) return py::none();
  return py::make_tuple(scale->vmin, scale->vmax);
}

py::array_t<float> golden_array(const Bundle& bundle, std::span<const float> values, bool images) {
  std::vector<py::ssize_t> shape = {static_cast<py::ssize_t>(bundle.layout().region_count()),
                                    static_cast<py::ssize_t>(bundle.golden().count_per_region)};
  if (images) shape.insert(shape.end(), 2, bundle.layout().patch_size);
  py::array_t<float> result(shape);
  std::copy(values.begin(), values.end(), result.mutable_data());
  return result;
}

}  // namespace

Bundle load_bundle(const std::filesystem::path& folder) {
  const auto load_without_gil = [&folder] {
    const py::gil_scoped_release released;
    return Bundle::load(folder);
  };
  return value_or_raise(load_without_gil(), "BundleError");
}

void register_bundle(py::module_& module) {
  py::class_<Bundle>(module, "Bundle")
      .def_static("load", &load_bundle, py::arg("path"))
      .def_property_readonly("path", &Bundle::path)
      .def_property_readonly("name", &Bundle::name)
      .def_property_readonly("layout", &Bundle::layout)
      .def_property_readonly("manifest_json", &Bundle::manifest_json)
      .def_property_readonly("sha256", &Bundle::sha256)
      .def_property_readonly("thresholds", &thresholds_of)
      .def("heatmap_scale", &heatmap_scale_of, py::arg("region"))
      .def_property_readonly("model",
                             [](const Bundle& bundle) {
                               return py::bytes(reinterpret_cast<const char*>(bundle.model().data()),
                                                bundle.model().size());
                             })
      .def_property_readonly("fingerprints",
                             [](const Bundle& bundle) {
                               return py::bytes(reinterpret_cast<const char*>(bundle.fingerprints().data()),
                                                bundle.fingerprints().size());
                             })
      .def_property_readonly("golden_inputs",
                             [](const Bundle& bundle) { return golden_array(bundle, bundle.golden().inputs, true); })
      .def_property_readonly(
          "golden_reconstructions",
          [](const Bundle& bundle) { return golden_array(bundle, bundle.golden().reconstructions, true); })
      .def_property_readonly("golden_scores",
                             [](const Bundle& bundle) { return golden_array(bundle, bundle.golden().scores, false); })
      .def_property_readonly("golden_tolerance", [](const Bundle& bundle) { return bundle.golden().tolerance; })
      .def("__repr__", [](const Bundle& bundle) { return "<Bundle " + bundle.name() + ">"; });
}

}  // namespace vialsight::bindings
