#include "base/kept_stderr.h"
#include "bindings.h"

namespace vialsight::bindings {

void register_kept_stderr(py::module_& module) {
  py::class_<KeptStderr>(module, "KeptStderr")
      .def(py::init<>())
      .def(
          "end",
          [](KeptStderr& kept, bool everything) {
            kept.end(everything ? KeptStderr::Show::kEverything : KeptStderr::Show::kAllButNotes);
          },
          py::kw_only(), py::arg("everything"));
}

}  // namespace vialsight::bindings
