#include "bindings.h"
#include "vialsight/version.h"

namespace vialsight::bindings {

namespace {

std::string shape_of(const py::array& array) { return py::str(py::tuple(array.attr("shape"))).cast<std::string>(); }

}  // namespace

void raise(const Status& status, const char* exception_name) {
  if (exception_name == nullptr && status.code() == Code::kInvalidArgument) throw py::value_error(status.message());
  const py::object type =
      py::module_::import("vialsight.errors").attr(exception_name == nullptr ? "BundleError" : exception_name);
  // Paths in messages may be no UTF-8: their bytes reach Python as in any of its own paths.
  const std::string& text = status.message();
  const auto message = py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape"));
  if (message) PyErr_SetObject(type.ptr(), message.ptr());
  throw py::error_already_set();
}

std::string describe(const py::array& array) {
  return py::str(array.dtype()).cast<std::string>() + " array of shape " + shape_of(array);
}

std::span<const float> float_values(const py::array& array, const char* name, py::ssize_t dimensions) {
  if (!py::isinstance<py::array_t<float>>(array)) {
    throw py::type_error(std::string(name) + ": expected float32, got " + describe(array) +
                         "; convert it with numpy.asarray(..., dtype=numpy.float32)");
  }
  if (array.ndim() != dimensions) {
    throw py::value_error(std::string(name) + ": expected " + std::to_string(dimensions) + " axes, got " +
                          describe(array));
  }
  if ((array.flags() & py::array::c_style) == 0) {
    throw py::value_error(std::string(name) + ": expected C-contiguous memory, got strides " +
                          py::str(py::tuple(array.attr("strides"))).cast<std::string>() +
                          "; copy it with numpy.ascontiguousarray");
  }
  return {static_cast<const float*>(array.data()), static_cast<std::size_t>(array.size())};
}

FrameView frame_view(const py::array& array, const char* name, py::ssize_t index) {
  const bool gray8 = py::isinstance<py::array_t<std::uint8_t>>(array);
  if (!gray8 && !py::isinstance<py::array_t<std::uint16_t>>(array)) {
    throw py::type_error(std::string(name) + ": expected uint8 or uint16 pixels, got " + describe(array));
  }
  const py::ssize_t rows = array.ndim() - 2;
  if (array.strides(rows + 1) != array.itemsize() || array.strides(rows) < 0) {
    throw py::value_error(std::string(name) + ": expected adjacent pixels and rows from top to bottom, got strides " +
                          py::str(py::tuple(array.attr("strides"))).cast<std::string>() +
                          "; copy it with numpy.ascontiguousarray");
  }
  const auto* first = static_cast<const std::byte*>(array.data()) + (rows == 1 ? index * array.strides(0) : 0);
  return {first, static_cast<int>(array.shape(rows + 1)), static_cast<int>(array.shape(rows)), array.strides(rows),
          gray8 ? PixelFormat::kGray8 : PixelFormat::kGray16};
}

}  // namespace vialsight::bindings

PYBIND11_MODULE(_core, module) {
  module.doc() = "VialSight's C++ core: what training, calibration and the line share.";
  module.attr("__version__") = VIALSIGHT_VERSION;
  module.attr("git_revision") = VIALSIGHT_GIT_REVISION;
  vialsight::bindings::register_layout(module);
  vialsight::bindings::register_locator(module);
  vialsight::bindings::register_patches(module);
  vialsight::bindings::register_score(module);
  vialsight::bindings::register_scores(module);
  vialsight::bindings::register_bundle(module);
  vialsight::bindings::register_inspector(module);
  vialsight::bindings::register_network(module);
  vialsight::bindings::register_kept_stderr(module);
}
