// `ssim`: the paper's score, φ = 1 − SSIM(x, x̂) (eq. 10), shown as |x − x̂| (eq. 11).
#include "scoring/filtered_component.h"
#include "scoring/ssim_constants.h"

namespace vialsight {
namespace {

class Ssim final : public Component {
 public:
  Ssim(int edge, std::size_t reconstruction, Similarity& similarity)
      : edge_(edge), reconstruction_(reconstruction), similarity_(similarity), difference_(size().pixels()) {}

  [[nodiscard]] MapSize size() const noexcept override { return {edge_, edge_}; }

  [[nodiscard]] double score(const PatchData& data, std::size_t /*region*/) noexcept override {
    return 1.0 - similarity_.mean(data, reconstruction_);
  }

  [[nodiscard]] std::span<const double> map(const PatchData& data, std::size_t /*region*/) noexcept override {
    absolute_difference(data.patch.data(), data.outputs[reconstruction_].data(), difference_.size(),
                        difference_.data());
    return difference_;
  }

 private:
  int edge_;
  std::size_t reconstruction_;
  Similarity& similarity_;
  std::vector<double> difference_;
};

}  // namespace

std::unique_ptr<Component> make_ssim_component(ObjectReader& reader, const ComponentContext& context) {
  require_ssim_constants(reader, context.inputs);
  reader.require_constant("reduction", "mean");
  return std::make_unique<Ssim>(context.inputs.patch_size, require_reconstruction(reader, context.inputs),
                                context.similarity);
}

}  // namespace vialsight
