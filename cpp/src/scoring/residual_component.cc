// `residual`: D = |x − x̂|.
#include <utility>

#include "scoring/filtered_component.h"

namespace vialsight {
namespace {

class Residual final : public FilteredComponent {
 public:
  Residual(Filtering filtering, std::size_t reconstruction)
      : FilteredComponent(std::move(filtering)), reconstruction_(reconstruction) {}

 private:
  void fill_row(const PatchData& data, std::size_t i, double* row) noexcept override {
    const auto width = static_cast<std::size_t>(size().width);
    absolute_difference(data.patch.data() + i * width, data.outputs[reconstruction_].data() + i * width, width, row);
  }

  std::size_t reconstruction_;
};

}  // namespace

std::unique_ptr<Component> make_residual_component(ObjectReader& reader, const ComponentContext& context) {
  const std::size_t reconstruction = require_reconstruction(reader, context.inputs);
  const int edge = context.inputs.patch_size;
  return std::make_unique<Residual>(read_filtering(reader, context, {edge, edge}), reconstruction);
}

}  // namespace vialsight
