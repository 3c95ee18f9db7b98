#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
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

// (R, per_region) and what follows.
py::array_t<float> array_by_region(const Bundle& bundle, std::size_t per_region, std::span<const float> values,
                                   const std::vector<py::ssize_t>& rest) {
  std::vector<py::ssize_t> shape = {static_cast<py::ssize_t>(bundle.layout().region_count()),
                                    static_cast<py::ssize_t>(per_region)};
  shape.insert(shape.end(), rest.begin(), rest.end());
  py::array_t<float> result(shape);
  std::copy(values.begin(), values.end(), result.mutable_data());
  return result;
}

// (R, K) and what follows.
py::array_t<float> golden_array(const Bundle& bundle, std::span<const float> values,
                                const std::vector<py::ssize_t>& rest) {
  return array_by_region(bundle, bundle.golden().count_per_region, values, rest);
}

// (R, k, h, w) by output.
py::dict golden_outputs_of(const Bundle& bundle) {
  const GoldenPatches& golden = bundle.golden();
  py::dict arrays;
  for (std::size_t i = 0; i < bundle.outputs().size(); ++i) {
    const OutputSpec& spec = bundle.outputs()[i];
    arrays[py::str(spec.name)] =
        array_by_region(bundle, golden.outputs_per_region, golden.outputs[i], {spec.height, spec.width});
  }
  return arrays;
}

// Of all components that the bundle offers, (R, K, C).
py::array_t<float> golden_components_of(const Bundle& bundle) {
  const GoldenPatches& golden = bundle.golden();
  const std::size_t patches = std::max<std::size_t>(golden.scores.size(), 1);
  return golden_array(bundle, golden.components, {static_cast<py::ssize_t>(golden.components.size() / patches)});
}

// Of all that the golden components that decide may differ by, divided by the tolerance, (R·K, C).
py::array_t<double> golden_scales_of(const Bundle& bundle) {
  const std::size_t patches = bundle.golden().scores.size();
  py::array_t<double> scales({patches, bundle.components().size()});
  double* target = scales.mutable_data();
  for (std::size_t patch = 0; patch < patches; ++patch) {
    const std::vector<double> row = bundle.golden_scales(patch);
    target = std::copy(row.begin(), row.end(), target);
  }
  return scales;
}

py::dict outputs_of(const Bundle& bundle) {
  py::dict outputs;
  for (const OutputSpec& spec : bundle.outputs()) {
    const char* role = spec.role == OutputRole::kReconstruction ? "reconstruction" : "map";
    outputs[py::str(spec.name)] = py::make_tuple(role, spec.height, spec.width);
  }
  return outputs;
}

// Mean and spread by component, (2, R, h, w).
py::dict locations_of(const Bundle& bundle) {
  py::dict arrays;
  for (const LocationArrays& each : bundle.locations()) {
    py::array_t<float> array({py::ssize_t{2}, static_cast<py::ssize_t>(bundle.layout().region_count()),
                              py::ssize_t{each.size.height}, py::ssize_t{each.size.width}});
    std::copy(each.spread.begin(), each.spread.end(),
              std::copy(each.mean.begin(), each.mean.end(), array.mutable_data()));
    arrays[py::str(each.component)] = array;
  }
  return arrays;
}

py::array_t<float> array_of(std::span<const float> values, const std::vector<py::ssize_t>& shape) {
  py::array_t<float> array(shape);
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

// By the names of Python's ProductLocator.
py::object locator_of(const Bundle& bundle) {
  const LocatorModel* model = bundle.locator();
  if (model == nullptr) return py::none();
  const py::ssize_t height = model->frame_height / model->scale;
  const py::ssize_t width = model->frame_width / model->scale;
  const GoldenLocations golden = bundle.golden_locations();
  const auto count = static_cast<py::ssize_t>(golden.count);
  using namespace py::literals;
  return py::dict("model"_a = name_of(model->kind), "frame_width"_a = model->frame_width,
                  "frame_height"_a = model->frame_height, "bit_depth"_a = model->bit_depth, "scale"_a = model->scale,
                  "template"_a = array_of(model->template_pixels, {height, width}),
                  "weights"_a = array_of(model->weights, {height, width}), "reach_px"_a = model->reach_px,
                  "reach_turn"_a = model->reach_turn, "residual_limit"_a = model->residual_limit,
                  "apart_px"_a = model->apart_px, "apart_turn"_a = model->apart_turn,
                  "golden_frames"_a = array_of(golden.frames, {count, height, width}),
                  "golden_poses"_a = array_of(golden.poses, {count, 3}));
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
      .def_property_readonly("method", &Bundle::method)
      .def_property_readonly("runtime", &Bundle::runtime)
      .def_property_readonly("precision", [](const Bundle& bundle) { return name_of(bundle.precision()); })
      .def_property_readonly("outputs", &outputs_of)
      .def_property_readonly("components", &Bundle::components)
      .def_property_readonly("locations", &locations_of)
      .def_property_readonly("locator", &locator_of)
      .def("make_score", &make_score, py::arg("definition") = py::none())
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
                             [](const Bundle& bundle) {
                               const int edge = bundle.layout().patch_size;
                               return golden_array(bundle, bundle.golden().inputs, {edge, edge});
                             })
      .def_property_readonly("golden_outputs", &golden_outputs_of)
      .def_property_readonly("golden_scores",
                             [](const Bundle& bundle) { return golden_array(bundle, bundle.golden().scores, {}); })
      .def_property_readonly("golden_components", &golden_components_of)
      .def_property_readonly("golden_scales", &golden_scales_of)
      .def_property_readonly("golden_tolerance", [](const Bundle& bundle) { return bundle.golden().tolerance; })
      .def("__repr__", [](const Bundle& bundle) { return "<Bundle " + bundle.name() + ">"; });
}

}  // namespace vialsight::bindings
