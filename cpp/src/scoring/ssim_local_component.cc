// `ssim_local`: D = 1 − SSIM map, its borders replicated to P×P.
#include <algorithm>
#include <utility>

#include "scoring/filtered_component.h"
#include "scoring/ssim_constants.h"

namespace vialsight {
namespace {

constexpr std::size_t kBorder = kSsimWindow / 2;

// Copies the outermost values of the inner (edge − 10)² to the border around them.
void replicate_borders(std::span<double> map, std::size_t edge) noexcept {
  const std::size_t last = edge - 1 - kBorder;
  for (std::size_t i = kBorder; i <= last; ++i) {
    double* const row = map.data() + i * edge;
    std::fill_n(row, kBorder, row[kBorder]);
    std::fill_n(row + last + 1, kBorder, row[last]);
  }
  for (std::size_t i = 0; i < kBorder; ++i) {
    std::copy_n(map.data() + kBorder * edge, edge, map.data() + i * edge);
    std::copy_n(map.data() + last * edge, edge, map.data() + (last + 1 + i) * edge);
  }
}

class SsimLocal final : public FilteredComponent {
 public:
  SsimLocal(Filtering filtering, std::size_t reconstruction, Similarity& similarity)
      : FilteredComponent(std::move(filtering)), reconstruction_(reconstruction), similarity_(similarity) {}

 private:
  void fill(const PatchData& data, std::span<double> raw) noexcept override {
    const auto edge = static_cast<std::size_t>(size().width);
    const std::span<const double> similarity = similarity_.map(data, reconstruction_);
    for (std::size_t i = kBorder; i < edge - kBorder; ++i) {
      for (std::size_t j = kBorder; j < edge - kBorder; ++j) raw[i * edge + j] = 1.0 - similarity[i * edge + j];
    }
    replicate_borders(raw, edge);
  }

  std::size_t reconstruction_;
  Similarity& similarity_;
};

}  // namespace

std::unique_ptr<Component> make_ssim_local_component(ObjectReader& reader, const ComponentContext& context) {
  require_ssim_constants(reader, context.inputs);
  const std::size_t reconstruction = require_reconstruction(reader, context.inputs);
  const int edge = std::max(context.inputs.patch_size, kSsimWindow);
  if (context.decides) context.similarity.keep_map();
  return std::make_unique<SsimLocal>(read_filtering(reader, context, {edge, edge}), reconstruction, context.similarity);
}

}  // namespace vialsight
