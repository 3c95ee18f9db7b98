// `ssim_local`: D = 1 − SSIM map, its borders replicated to P×P.
#include <algorithm>
#include <utility>

#include "base/multiversion.h"
#include "scoring/filtered_component.h"
#include "scoring/ssim_constants.h"

namespace vialsight {
namespace {

constexpr std::size_t kBorder = kSsimWindow / 2;

VIALSIGHT_MULTIVERSION
void subtract_from_one(const double* similarity, std::size_t count, double* __restrict result) noexcept {
  for (std::size_t j = 0; j < count; ++j) result[j] = 1.0 - similarity[j];
}

class SsimLocal final : public FilteredComponent {
 public:
  SsimLocal(Filtering filtering, std::size_t reconstruction, Similarity& similarity)
      : FilteredComponent(std::move(filtering)), reconstruction_(reconstruction), similarity_(similarity) {}

 private:
  void begin(const PatchData& data) noexcept override { similarity_map_ = similarity_.map(data, reconstruction_); }

  // The border of 5 pixels shows the outermost values.
  void fill_row(const PatchData& /*data*/, std::size_t i, double* row) noexcept override {
    const auto edge = static_cast<std::size_t>(size().width);
    const std::size_t last = edge - 1 - kBorder;
    const std::size_t from = std::clamp(i, kBorder, last);
    subtract_from_one(similarity_map_.data() + from * edge + kBorder, edge - 2 * kBorder, row + kBorder);
    std::fill_n(row, kBorder, row[kBorder]);
    std::fill_n(row + last + 1, kBorder, row[last]);
  }

  std::size_t reconstruction_;
  Similarity& similarity_;
  std::span<const double> similarity_map_;  // of the patch at hand
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
