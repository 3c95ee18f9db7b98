// What the binding files share: registration, the way a Status becomes a Python exception, and checks of arrays.
// Arrays are refused, with what was expected, never converted: a silent conversion is a score nobody can reproduce.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vialsight/bundle.h"
#include "vialsight/patches.h"
#include "vialsight/status.h"

namespace vialsight::bindings {

namespace py = pybind11;

void register_layout(py::module_& module);
void register_locator(py::module_& module);
void register_patches(py::module_& module);
void register_score(py::module_& module);
void register_scores(py::module_& module);
void register_bundle(py::module_& module);
void register_inspector(py::module_& module);
void register_network(py::module_& module);
void register_kept_stderr(py::module_& module);

// Bundle::load without the GIL; raises BundleError.
[[nodiscard]] Bundle load_bundle(const std::filesystem::path& folder);

// A `Score` of the bundle's own definition, or of another choice among its components.
[[nodiscard]] py::object make_score(const Bundle& bundle, const std::optional<py::dict>& definition);

// Raises `exception_name` of vialsight.errors; without a name ValueError for kInvalidArgument, else BundleError.
[[noreturn]] void raise(const Status& status, const char* exception_name = nullptr);

inline void raise_unless_ok(const Status& status, const char* exception_name = nullptr) {
  if (!status.ok()) raise(status, exception_name);
}

template <typename T>
T value_or_raise(Result<T> result, const char* exception_name = nullptr) {
  if (!result.ok()) raise(result.status(), exception_name);
  return std::move(result).value();
}

// ValueError unless it is a name of one.
[[nodiscard]] LocatorKind locator_kind(const std::string& name);

// IndexError unless the layout has it.
[[nodiscard]] const Box& box_at(const Layout& layout, std::size_t vial, std::size_t region);

// "float32 array of shape (n, 32, 32)", for error messages.
[[nodiscard]] std::string describe(const py::array& array);

// TypeError or ValueError unless `array` is C-contiguous float32 with `dimensions` axes; returns its values.
[[nodiscard]] std::span<const float> float_values(const py::array& array, const char* name, py::ssize_t dimensions);

// A view of image `index` of a uint8 or uint16 array (H, W) or (F, H, W): rows may be padded, pixels must be adjacent.
[[nodiscard]] FrameView frame_view(const py::array& array, const char* name, py::ssize_t index = 0);

[[nodiscard]] inline std::span<float> writable_values(py::array_t<float>& array) {
  return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

}  // namespace vialsight::bindings
