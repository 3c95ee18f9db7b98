#include "backend/backend_loader.h"

#include <dlfcn.h>

#include <string>
#include <utility>

namespace vialsight {
namespace {

// Address inside the library this file is linked into.
const char kAnchor = 0;

Status load_error(const std::filesystem::path& module, const std::string& reason) {
  const std::string text = "backend " + module.string() + ": cannot be loaded: " + reason;
  if (reason.find("libtensorflow") != std::string::npos) {
    return {Code::kNotFound, text + "; TensorFlow is missing, run: pip install 'vialsight[cpu]' (or 'vialsight[gpu]')"};
  }
  if (reason.find("libopenvino") != std::string::npos) {
    return {Code::kNotFound,
            text + "; OpenVINO is missing, or of another version than this was built with; run: pip install " +
                "'vialsight[openvino]', and if it is there: pip install --force-reinstall vialsight"};
  }
  if (module.filename() == "vialsight_openvino.so" && reason.find("No such file") != std::string::npos) {
    return {Code::kNotFound, text + "; this vialsight was built without OpenVINO, run: pip install --force-reinstall " +
                                 "'vialsight[openvino]', or build with -DVIALSIGHT_OPENVINO=ON"};
  }
  if (reason.find("undefined symbol") != std::string::npos) {
    return {Code::kNotFound,
            text + "; this module needs TensorFlow 2.21, run: pip install 'tensorflow-cpu>=2.21,<2.22'"};
  }
  return {Code::kNotFound, text + "; reinstall vialsight, or name the module in InspectorOptions::backend_module"};
}

// RTLD_LOCAL: the host's symbols and TensorFlow's stay apart. RTLD_NOW: what is missing shows here, not in a slot.
Result<void*> open_module(const std::filesystem::path& module) {
  ::dlerror();  // NOLINT(concurrency-mt-unsafe): glibc keeps the message per thread
  void* handle = ::dlopen(module.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle != nullptr) return handle;
  const char* reason = ::dlerror();  // NOLINT(concurrency-mt-unsafe)
  return load_error(module, reason != nullptr ? reason : "no reason given");
}

Result<const BackendEntry*> find_entry(void* handle, const std::filesystem::path& module) {
  void* symbol = ::dlsym(handle, kBackendEntryName);
  if (symbol == nullptr) {
    return Status(Code::kUnsupported, "backend " + module.string() +
                                          ": expected a VialSight backend, found no symbol " + kBackendEntryName +
                                          "; name a backend module");
  }
  const BackendEntry* entry = reinterpret_cast<BackendEntryFunction>(symbol)();
  if (entry != nullptr && entry->abi == kBackendAbi) return entry;
  const std::string came = entry == nullptr ? "none" : std::to_string(entry->abi);
  return Status(Code::kUnsupported, "backend " + module.string() + ": expected interface " +
                                        std::to_string(kBackendAbi) + ", got " + came +
                                        "; install library and backend from one build of vialsight");
}

Result<const BackendEntry*> load_entry(const std::filesystem::path& module) {
  const Result<void*> handle = open_module(module);
  if (!handle.ok()) return handle.status();
  return find_entry(handle.value(), module);
}

}  // namespace

Result<std::filesystem::path> beside_library(const char* name) {
  Dl_info information = {};
  if (::dladdr(&kAnchor, &information) == 0 || information.dli_fname == nullptr) {
    return Status(Code::kNotFound, std::string("cannot tell where libvialsight.so lies, and ") + name +
                                       " beside it; name it in InspectorOptions");
  }
  std::error_code error;
  const std::filesystem::path library = std::filesystem::canonical(information.dli_fname, error);
  if (error) return Status(Code::kNotFound, std::string(information.dli_fname) + ": " + error.message());
  return library.parent_path() / name;
}

Result<std::filesystem::path> find_module(const std::filesystem::path& module, const std::string& runtime) {
  return module.empty() ? beside_library(("vialsight_" + runtime + ".so").c_str()) : Result(module);
}

Result<std::string> runtime_version(const std::filesystem::path& module) {
  const Result<const BackendEntry*> entry = load_entry(module);
  if (!entry.ok()) return entry.status();
  return std::string(entry.value()->version);
}

Result<std::unique_ptr<Backend>> load_backend(const std::filesystem::path& module, const BackendOptions& options) {
  const Result<const BackendEntry*> entry = load_entry(module);
  if (!entry.ok()) return entry.status();

  Backend* raw = nullptr;
  Status status = entry.value()->create(options, &raw);
  std::unique_ptr<Backend> backend(raw);
  if (!status.ok()) return status;
  if (backend == nullptr) return Status(Code::kBackendFault, "backend " + module.string() + ": created nothing");
  return backend;
}

}  // namespace vialsight
