// Loads a backend module with dlopen, where inference runs and nowhere else.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "vialsight/status.h"

namespace vialsight {

// Path of the file `name` beside the library (or program) this code is linked into. kNotFound: cannot tell where that
// is.
[[nodiscard]] Result<std::filesystem::path> beside_library(const char* name);

// `module`, or when that is empty vialsight_RUNTIME.so beside the library.
[[nodiscard]] Result<std::filesystem::path> find_module(const std::filesystem::path& module,
                                                        const std::string& runtime);

// The module stays loaded until the process ends: TensorFlow's threads and registries do not survive being unloaded.
// kNotFound: the module or a library it needs is missing; kUnsupported: not a backend, or one of another build;
// else what the module's own create() reports.
[[nodiscard]] Result<std::unique_ptr<Backend>> load_backend(const std::filesystem::path& module,
                                                            const BackendOptions& options);

// Of the inference library that `module` runs on; loads it. Errors as load_backend.
[[nodiscard]] Result<std::string> runtime_version(const std::filesystem::path& module);

}  // namespace vialsight
