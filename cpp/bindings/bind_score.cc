#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>

#include "bindings.h"
#include "vialsight/bundle.h"
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

// What the call's arrays say of the network; any name but "reconstruction" is a map's.
std::vector<OutputSpec> specs_of(const py::dict& arrays) {
  std::vector<OutputSpec> specs;
  for (const auto& [key, value] : arrays) {
    const auto name = key.cast<std::string>();
    const py::array array = require_array(value, "outputs['" + name + "']");
    (void)stack_of(array, "outputs['" + name + "']");
    const OutputRole role = name == "reconstruction" ? OutputRole::kReconstruction : OutputRole::kMap;
    specs.push_back({name, role, static_cast<int>(array.shape(1)), static_cast<int>(array.shape(2))});
  }
  return specs;
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
    const MapSize size{static_cast<int>(array.shape(1)), static_cast<int>(array.shape(2))};
    const std::span<const float> mean = result.repeated(values.first(half), regions);
    result.arrays.push_back({name, size, mean, result.repeated(values.subspan(half), regions)});
  }
  return result;
}

// A Score for Python: calls are serialised, because the C++ class is for one thread at a time.
class PythonScore {
 public:
  PythonScore(Score score, ScoreInputs inputs) : score_(std::move(score)), inputs_(std::move(inputs)) {}

  py::tuple run(const py::array& patches, const py::dict& outputs,
                const std::optional<std::vector<std::size_t>>& regions) {
    py::array_t<float> numbers(patches.shape(0));
    py::array_t<float> components({patches.shape(0), static_cast<py::ssize_t>(score_.components().size())});
    const std::span<float> number_values = writable_values(numbers);
    const std::span<float> component_values = writable_values(components);
    const std::size_t count = score_.components().size();
    for_each(patches, outputs, regions, [&](std::size_t i, const PatchData& data, std::size_t region) {
      return score_.run(data, region, number_values[i], component_values.subspan(i * count, count));
    });
    return py::make_tuple(numbers, components);
  }

  py::array_t<float> maps(const py::array& patches, const py::dict& outputs,
                          const std::optional<std::vector<std::size_t>>& regions) {
    const MapSize size = score_.map_size();
    py::array_t<float> maps({patches.shape(0), py::ssize_t{size.height}, py::ssize_t{size.width}});
    const std::span<float> values = writable_values(maps);
    for_each(patches, outputs, regions, [&](std::size_t i, const PatchData& data, std::size_t region) {
      return score_.map(data, region, values.subspan(i * size.pixels(), size.pixels()));
    });
    return maps;
  }

  [[nodiscard]] py::array_t<float> combine(const py::array& components,
                                           const std::optional<std::vector<std::size_t>>& regions) const {
    const std::span<const float> values = float_values(components, "components", 2);
    const std::size_t count = score_.components().size();
    if (components.shape(1) != static_cast<py::ssize_t>(count)) {
      throw py::value_error("components: expected " + std::to_string(count) + " columns, got " + describe(components));
    }
    const auto rows = static_cast<std::size_t>(components.shape(0));
    const std::vector<std::size_t> known = regions_of(regions, rows);
    py::array_t<float> numbers(components.shape(0));
    for (std::size_t i = 0; i < rows; ++i) {
      numbers.mutable_data()[i] = score_.combine(values.subspan(i * count, count), known[i]);
    }
    return numbers;
  }

  [[nodiscard]] const std::vector<std::string>& components() const { return score_.components(); }
  [[nodiscard]] py::tuple map_size() const { return py::make_tuple(score_.map_size().height, score_.map_size().width); }

 private:
  // Those given, each below R; else i modulo R.
  [[nodiscard]] std::vector<std::size_t> regions_of(const std::optional<std::vector<std::size_t>>& given,
                                                    std::size_t count) const {
    std::vector<std::size_t> regions = given.value_or(std::vector<std::size_t>());
    if (!given.has_value()) {
      for (std::size_t i = 0; i < count; ++i) regions.push_back(i % inputs_.regions);
    }
    if (regions.size() != count) {
      throw py::value_error("regions: expected one per patch (" + std::to_string(count) + "), got " +
                            std::to_string(regions.size()));
    }
    for (const std::size_t region : regions) {
      if (region < inputs_.regions) continue;
      throw py::value_error("regions: expected numbers below " + std::to_string(inputs_.regions) + ", got " +
                            std::to_string(region));
    }
    return regions;
  }

  [[nodiscard]] std::vector<Stack> stacks_of(const py::dict& outputs, py::ssize_t count) const {
    std::vector<Stack> stacks;
    for (const OutputSpec& spec : inputs_.outputs) {
      const std::string what = "outputs['" + spec.name + "']";
      if (!outputs.contains(spec.name)) throw py::value_error(what + ": missing; the score was made for it");
      const py::array array = require_array(outputs[py::str(spec.name)], what);
      stacks.push_back(stack_of(array, what));
      if (array.shape(0) == count && array.shape(1) == spec.height && array.shape(2) == spec.width) continue;
      throw py::value_error(what + ": expected one of " + std::to_string(spec.height) + "x" +
                            std::to_string(spec.width) + " per patch (" + std::to_string(count) + "), got " +
                            describe(array));
    }
    return stacks;
  }

  // Calls body(i, data, region) for each patch, without the GIL, until one fails.
  template <typename Body>
  void for_each(const py::array& patches, const py::dict& outputs,
                const std::optional<std::vector<std::size_t>>& regions, Body body) {
    const Stack stack = stack_of(patches, "patches");
    if (patches.shape(1) != inputs_.patch_size || patches.shape(2) != inputs_.patch_size) {
      throw py::value_error("patches: expected " + std::to_string(inputs_.patch_size) + "x" +
                            std::to_string(inputs_.patch_size) + " pixels each, got " + describe(patches));
    }
    const auto count = static_cast<std::size_t>(patches.shape(0));
    const std::vector<Stack> stacks = stacks_of(outputs, patches.shape(0));
    const std::vector<std::size_t> known = regions_of(regions, count);
    std::vector<std::span<const float>> of_patch(stacks.size());
    Status status;
    {
      const py::gil_scoped_release released;
      const std::scoped_lock lock(mutex_);
      for (std::size_t i = 0; status.ok() && i < count; ++i) {
        std::transform(stacks.begin(), stacks.end(), of_patch.begin(), [i](const Stack& each) { return each.at(i); });
        status = body(i, PatchData{stack.at(i), of_patch}, known[i]);
      }
    }
    raise_unless_ok(status);
  }

  Score score_;
  ScoreInputs inputs_;
  std::mutex mutex_;
};

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
  (void)stack_of(patches, "patches");
  if (patches.shape(1) != patches.shape(2)) {
    throw py::value_error("patches: expected square patches, got " + describe(patches));
  }
  const std::size_t regions = regions_of(definition);
  const ScoreInputs inputs{specs_of(outputs), static_cast<int>(patches.shape(1)), regions};
  const Locations given = locations_of(locations, regions);
  PythonScore score(value_or_raise(Score::create(json_text(definition), inputs, given.arrays)), inputs);
  const std::vector<std::size_t> all(static_cast<std::size_t>(patches.shape(0)), regions == 1 ? 0 : region);
  const py::tuple numbers = score.run(patches, outputs, all);
  return py::make_tuple(numbers[0], score.maps(patches, outputs, all));
}

}  // namespace

py::object make_score(const Bundle& bundle, const std::optional<py::dict>& definition) {
  const std::string text = definition.has_value() ? json_text(*definition) : std::string();
  ScoreInputs inputs{bundle.outputs(), bundle.layout().patch_size, bundle.layout().region_count()};
  return py::cast(std::make_unique<PythonScore>(value_or_raise(bundle.make_score(text)), std::move(inputs)));
}

void register_score(py::module_& module) {
  py::class_<PythonScore>(module, "Score")
      .def("run", &PythonScore::run, py::arg("patches"), py::arg("outputs"), py::arg("regions") = py::none())
      .def("maps", &PythonScore::maps, py::arg("patches"), py::arg("outputs"), py::arg("regions") = py::none())
      .def("combine", &PythonScore::combine, py::arg("components"), py::arg("regions") = py::none())
      .def_property_readonly("components", &PythonScore::components)
      .def_property_readonly("map_size", &PythonScore::map_size);
  module.def("score", &score_stack, py::arg("patches"), py::arg("outputs"), py::arg("definition"), py::kw_only(),
             py::arg("region") = 0, py::arg("locations") = py::none());
}

}  // namespace vialsight::bindings
