// A backend module that does to its process what a patch tells it to, by the value of its first pixel. Its
// reconstructions are the patches; every value of its maps is that of the first pixel, negative.
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
  explicit FaultyBackend(const BackendOptions& options)
      : pixels_(static_cast<std::size_t>(options.patch_size * options.patch_size)), outputs_(options.outputs) {}
  Status run(const float* patches, std::size_t count, float* const* outputs) noexcept override {
    for (std::size_t i = 0; i < count; ++i) {
      const int order = static_cast<int>(patches[i * pixels_] * 255.0F + 0.5F);
      if (order == test::kOrderFail) return {Code::kBackendFault, "told to"};
      obey(order);
      for (std::size_t output = 0; output < outputs_.size(); ++output) {
        const std::size_t size = outputs_[output].pixels();
        write(patches + i * pixels_, outputs_[output], order, outputs[output] + i * size);
      }
    }
    return {};
  }

 private:
  static void write(const float* patch, const OutputSpec& output, int order, float* target) noexcept {
    const bool map = output.role == OutputRole::kMap;
    for (std::size_t k = 0; k < output.pixels(); ++k) {
      const float same = map ? -patch[0] : patch[k];
      target[k] = order == test::kOrderDefect ? 1.0F - same : same;
    }
  }

  std::size_t pixels_;
  std::vector<OutputSpec> outputs_;
};

// A model that begins with 'E' is refused, one with 'A' aborts, one with 'H' hangs.
Status create(const BackendOptions& options, Backend** backend) noexcept {
  const char first = *static_cast<const char*>(options.model);
  if (first == 'E') return {Code::kUnsupported, "an error of the module, " + std::string(2000, 'x')};
  if (first == 'A') std::abort();
  while (first == 'H') ::pause();
  *backend = new FaultyBackend(options);
  return {};
}

}  // namespace
}  // namespace vialsight

extern "C" __attribute__((visibility("default"))) const vialsight::BackendEntry* vialsight_backend_entry() noexcept {
  static const vialsight::BackendEntry kEntry = {vialsight::kBackendAbi, "faulty", "0", vialsight::create};
  return &kEntry;
}
