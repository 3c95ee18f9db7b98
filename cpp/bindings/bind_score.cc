#include <pybind11/stl.h>

#include <algorithm>
#include <optional>

#include "bindings.h"
#include "vialsight/score.h"

namespace vialsight::bindings {

namespace {

// n arrays of one patch each, in Python's memory.
struct Stack {
  std::span<const float> values;
  std::size_t pixels = 0;

  [[nodiscard]] std::span<const float> at(std::size_t i) const { return values.subspan(i * pixels, pixels); }
};

Stack stack_of(const py::array& array, const std::string& name) {
  const std::span<const float> values = float_values(array, name.c_str(), 3);
  return {values, static_cast<std::size_t>(array.shape(1) * array.shape(2))};
}

py::array require_array(const py::handle& value, const std::string& what) {
  if (py::isinstance<py::array>(value)) return py::reinterpret_borrow<py::array>(value);
  throw py::type_error(what + ": expected a float32 array, got " + py::str(py::type::of(value)).cast<std::string>());
}

// What the call's arrays say of the network.
struct Outputs {
  ScoreInputs inputs;
  std::vector<Stack> stacks;
};

Outputs outputs_of(const py::array& patches, const py::dict& arrays, std::size_t regions) {
  Outputs result;
  result.inputs.patch_size = static_cast<int>(patches.shape(1));
  result.inputs.regions = regions;
  for (const auto& [key, value] : arrays) {
    const auto name = key.cast<std::string>();
    const std::string what = "outputs['" + name + "']";
    const py::array array = require_array(value, what);
    result.stacks.push_back(stack_of(array, what));
    if (array.shape(0) != patches.shape(0)) {
      throw py::value_error(what + ": expected one per patch (" + std::to_string(patches.shape(0)) + "), got " +
                            describe(array));
    }
    const OutputRole role = name == "reconstruction" ? OutputRole::kReconstruction : OutputRole::kMap;
    result.inputs.outputs.push_back({name, role, static_cast<int>(array.shape(1)), static_cast<int>(array.shape(2))});
  }
  return result;
}

// Those of one region, repeated for all: only that region is scored.
struct Locations {
  std::vector<LocationArrays> arrays;
  std::vector<std::vector<float>> memory;

  std::span<const float> repeated(std::span<const float> values, std::size_t regions) {
    std::vector<float>& all = memory.emplace_back();
    for (std::size_t region = 0; region < regions; ++region) all.insert(all.end(), values.begin(), values.end());
    return all;
  }
};

Locations locations_of(const std::optional<py::dict>& locations, std::size_t regions) {
  Locations result;
  if (!locations) return result;
  for (const auto& [key, value] : *locations) {
    const auto name = key.cast<std::string>();
    const std::string what = "locations['" + name + "']";
    const py::array array = require_array(value, what);
    const std::span<const float> values = float_values(array, what.c_str(), 3);
    if (array.shape(0) != 2) {
      throw py::value_error(what + ": expected mean and spread, (2, h, w), got " + describe(array));
    }
    const std::size_t half = values.size() / 2;
    const std::span<const float> mean = result.repeated(values.first(half), regions);
    result.arrays.push_back({name, mean, result.repeated(values.subspan(half), regions)});
  }
  return result;
}

// Numbers and maps of all patches, without the GIL.
Status run(Score& score, const Stack& patches, const std::vector<Stack>& outputs, std::size_t region,
           std::span<float> numbers, std::span<float> maps) {
  std::vector<float> components(score.components().size());
  std::vector<std::span<const float>> of_patch(outputs.size());
  const std::size_t pixels = score.map_size().pixels();
  Status status;
  for (std::size_t i = 0; status.ok() && i < numbers.size(); ++i) {
    std::transform(outputs.begin(), outputs.end(), of_patch.begin(), [i](const Stack& stack) { return stack.at(i); });
    const PatchData data{patches.at(i), of_patch};
    status = score.run(data, region, numbers[i], components);
    if (status.ok()) status = score.map(data, region, maps.subspan(i * pixels, pixels));
  }
  return status;
}

std::string json_text(const py::dict& definition) {
  return py::module_::import("json").attr("dumps")(definition, py::arg("allow_nan") = false).cast<std::string>();
}

// Regions of a definition's normalisation; 1 where it has none, and all regions are scored alike.
std::size_t regions_of(const py::dict& definition) {
  const py::object entries = definition.attr("get")("normalisation");
  if (!py::isinstance<py::list>(entries) || py::len(entries) == 0) return 1;
  const py::object first = entries[py::int_(0)];
  if (!py::isinstance<py::dict>(first)) return 1;
  const py::object offset = first.attr("get")("offset");
  return py::isinstance<py::list>(offset) ? std::max<std::size_t>(py::len(offset), 1) : 1;
}

py::tuple score_stack(const py::array& patches, const py::dict& outputs, const py::dict& definition, std::size_t region,
                      const std::optional<py::dict>& locations) {
  const Stack stack = stack_of(patches, "patches");
  if (patches.shape(1) != patches.shape(2)) {
    throw py::value_error("patches: expected square patches, got " + describe(patches));
  }
  const std::size_t regions = regions_of(definition);
  const Outputs network = outputs_of(patches, outputs, regions);
  const Locations given = locations_of(locations, regions);
  Score score = value_or_raise(Score::create(json_text(definition), network.inputs, given.arrays));
  const MapSize size = score.map_size();
  py::array_t<float> numbers(patches.shape(0));
  py::array_t<float> maps({patches.shape(0), py::ssize_t{size.height}, py::ssize_t{size.width}});
  const std::span<float> number_values = writable_values(numbers);
  const std::span<float> map_values = writable_values(maps);
  Status status;
  {
    const py::gil_scoped_release released;
    status = run(score, stack, network.stacks, regions == 1 ? 0 : region, number_values, map_values);
  }
  raise_unless_ok(status);
  return py::make_tuple(numbers, maps);
}

}  // namespace

void register_score(py::module_& module) {
  module.def("score", &score_stack, py::arg("patches"), py::arg("outputs"), py::arg("definition"), py::kw_only(),
             py::arg("region") = 0, py::arg("locations") = py::none());
}

}  // namespace vialsight::bindings
