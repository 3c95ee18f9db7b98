// A backend module that does to its process what a patch tells it to, by the value of its first pixel.
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "backend/backend.h"
#include "faulty_backend.h"

namespace vialsight {
namespace {

void obey(int order) {
  using namespace test;
  if (order == kOrderAbort) std::abort();
  if (order == kOrderExit) ::_exit(3);
  if (order == kOrderSegmentationFault) (void)::raise(SIGSEGV);
  while (order == kOrderHang) ::pause();
}

class FaultyBackend final : public Backend {
 public:
  explicit FaultyBackend(int patch_size) : pixels_(static_cast<std::size_t>(patch_size * patch_size)) {}
  Status run(const float* patches, std::size_t count, float* reconstructions) noexcept override {
    for (std::size_t i = 0; i < count; ++i) {
      const int order = static_cast<int>(patches[i * pixels_] * 255.0F + 0.5F);
      if (order == test::kOrderFail) return {Code::kBackendFault, "told to"};
      obey(order);
      for (std::size_t k = i * pixels_; k < (i + 1) * pixels_; ++k) {
        reconstructions[k] = order == test::kOrderDefect ? 1.0F - patches[k] : patches[k];
      }
    }
    return {};
  }

 private:
  std::size_t pixels_;
};

// A model that begins with 'E' is refused, one with 'A' aborts, one with 'H' hangs.
Status create(const BackendOptions& options, Backend** backend) noexcept {
  const char first = *static_cast<const char*>(options.model);
  if (first == 'E') return {Code::kUnsupported, "an error of the module, " + std::string(2000, 'x')};
  if (first == 'A') std::abort();
  while (first == 'H') ::pause();
  *backend = new FaultyBackend(options.patch_size);
  return {};
}

}  // namespace
}  // namespace vialsight

extern "C" __attribute__((visibility("default"))) const vialsight::BackendEntry* vialsight_backend_entry() noexcept {
  static const vialsight::BackendEntry kEntry = {vialsight::kBackendAbi, "faulty", "0", vialsight::create};
  return &kEntry;
}
