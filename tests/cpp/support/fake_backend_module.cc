// A backend module without an inference library: for what a loader does. FAKE_BACKEND_ABI is the interface it claims.
#include "backend/backend.h"

namespace vialsight {
namespace {

class IdentityBackend final : public Backend {
 public:
  explicit IdentityBackend(int patch_size) : pixels_(static_cast<std::size_t>(patch_size * patch_size)) {}
  Status run(const float* patches, std::size_t count, float* const* outputs) noexcept override {
    for (std::size_t i = 0; i < count * pixels_; ++i) outputs[0][i] = patches[i];
    return {};
  }

 private:
  std::size_t pixels_;
};

// A model that begins with 'n' yields nothing, one with 'e' an error.
Status create(const BackendOptions& options, Backend** backend) noexcept {
  const char first = *static_cast<const char*>(options.model);
  if (first == 'e') return {Code::kUnsupported, "an error of the module"};
  if (first != 'n') *backend = new IdentityBackend(options.patch_size);
  return {};
}

}  // namespace
}  // namespace vialsight

extern "C" __attribute__((visibility("default"))) const vialsight::BackendEntry* vialsight_backend_entry() noexcept {
  static const vialsight::BackendEntry kEntry = {FAKE_BACKEND_ABI, "fake", "0", vialsight::create};
  return &kEntry;
}
