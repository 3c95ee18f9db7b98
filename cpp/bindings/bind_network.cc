#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <mutex>
#include <optional>
#include <span>
#include <string_view>

#include "bindings.h"
#include "vialsight/network.h"

namespace vialsight::bindings {
namespace {

std::optional<Precision> chosen_precision(const std::optional<std::string>& name) {
  if (!name.has_value()) return std::nullopt;
  if (const std::optional<Precision> found = precision_of(*name); found.has_value()) return found;
  throw py::value_error("precision: expected one of " + known_precisions() + "; got '" + *name + "'");
}

// A Network for Python: callers whom the released GIL lets run side by side take turns.
class PythonNetwork {
 public:
  PythonNetwork(const Bundle& bundle, const NetworkOptions& options)
      : bundle_(bundle), network_(create(bundle, options)) {}

  py::dict run(const py::array& patches) {
    const int edge = bundle_.layout().patch_size;
    const std::span<const float> values = float_values(patches, "patches", 3);
    if (patches.shape(1) != edge || patches.shape(2) != edge) {
      throw py::value_error("patches: expected shape (n, " + std::to_string(edge) + ", " + std::to_string(edge) +
                            "), got " + describe(patches));
    }
    py::dict outputs;
    std::vector<std::span<float>> targets;
    for (const OutputSpec& spec : bundle_.outputs()) {
      py::array_t<float> output({patches.shape(0), py::ssize_t{spec.height}, py::ssize_t{spec.width}});
      targets.push_back(writable_values(output));
      outputs[py::str(spec.name)] = output;
    }
    raise_unless_ok(run_without_gil(values, targets));
    return outputs;
  }

  [[nodiscard]] const std::string& runtime_version() const { return network_.runtime_version(); }

 private:
  Status run_without_gil(std::span<const float> patches, std::span<const std::span<float>> outputs) {
    const py::gil_scoped_release released;
    const std::scoped_lock lock(mutex_);
    return network_.run(patches, outputs);
  }
  static Network create(const Bundle& bundle, const NetworkOptions& options) {
    const auto create_without_gil = [&] {
      const py::gil_scoped_release released;
      return Network::create(bundle, options);
    };
    return value_or_raise(create_without_gil());
  }

  Bundle bundle_;
  Network network_;
  std::mutex mutex_;
};

}  // namespace

void register_network(py::module_& module) {
  py::class_<PythonNetwork>(module, "Network")
      .def(py::init([](const Bundle& bundle, const std::string& runtime, const std::optional<std::string>& precision,
                       int threads, const std::optional<std::filesystem::path>& backend_module,
                       const std::optional<std::string_view>& model) {
             NetworkOptions options{
                 runtime, chosen_precision(precision), threads, backend_module.value_or(std::filesystem::path()), {}};
             if (model.has_value()) options.model = std::as_bytes(std::span(*model));
             return std::make_unique<PythonNetwork>(bundle, options);
           }),
           py::arg("bundle"), py::kw_only(), py::arg("runtime") = "", py::arg("precision") = py::none(),
           py::arg("threads") = 0, py::arg("backend_module") = py::none(), py::arg("model") = py::none())
      .def("run", &PythonNetwork::run, py::arg("patches"))
      .def_property_readonly("runtime_version", &PythonNetwork::runtime_version);
}

}  // namespace vialsight::bindings
