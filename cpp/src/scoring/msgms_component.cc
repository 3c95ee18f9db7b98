// `msgms`: D = mean₂₁(1 − MSGMS(x, x̂)) + mean₂₁((x − x̂)²) (Mekhilef eq. 7), s = max D.
//
// MSGMS: gradient magnitude similarity (Prewitt/3) on four scales by 2×2 averaging, brought back bilinearly, mean.
#include <array>
#include <cmath>

#include "base/multiversion.h"
#include "scoring/component.h"
#include "scoring/filters.h"

namespace vialsight {
namespace {

constexpr std::size_t kScales = 4;
constexpr int kCoarsest = 1 << (kScales - 1);  // pixels that make one of the last scale
constexpr double kC = 0.0026;                  // for [0, 1]: 170 / 255² (Xue)

// Rows of one image, each with a replicated pixel at either end: the reflected border of a 3×3 filter.
struct GradientRows {
  std::vector<double> sum;   // over three rows
  std::vector<double> step;  // between the first and the third
  explicit GradientRows(std::size_t width) : sum(width + 2), step(width + 2) {}
};

template <typename Sample>
VIALSIGHT_INLINE void sum_rows(const Sample* above, const Sample* row, const Sample* below, std::size_t width,
                               double* __restrict sum, double* __restrict step) noexcept {
  for (std::size_t j = 0; j < width; ++j) {
    const auto first = static_cast<double>(above[j]);
    const auto last = static_cast<double>(below[j]);
    sum[j + 1] = first + static_cast<double>(row[j]) + last;
    step[j + 1] = first - last;
  }
  sum[0] = sum[1];
  step[0] = step[1];
  sum[width + 1] = sum[width];
  step[width + 1] = step[width];
}

// GMS = (2·g·g' + c) / (g² + g'² + c) of one row; 9 times the squares, which saves dividing by 3.
VIALSIGHT_INLINE void compare_gradients(const double* sum, const double* step, const double* other_sum,
                                        const double* other_step, std::size_t width, double* __restrict gms) noexcept {
  constexpr double kNineC = 9.0 * kC;
  for (std::size_t j = 0; j < width; ++j) {
    const double gx = sum[j] - sum[j + 2];
    const double gy = step[j] + step[j + 1] + step[j + 2];
    const double other_gx = other_sum[j] - other_sum[j + 2];
    const double other_gy = other_step[j] + other_step[j + 1] + other_step[j + 2];
    const double square = gx * gx + gy * gy;
    const double other_square = other_gx * other_gx + other_gy * other_gy;
    gms[j] = (2.0 * std::sqrt(square * other_square) + kNineC) / (square + other_square + kNineC);
  }
}

// Both images' gradients of one scale, compared row by row.
template <typename Sample>
VIALSIGHT_INLINE void compare_images(const Sample* x, const Sample* y, std::size_t edge, GradientRows& a,
                                     GradientRows& b, double* gms) noexcept {
  for (std::size_t i = 0; i < edge; ++i) {
    const std::size_t above = (i == 0 ? 0 : i - 1) * edge;
    const std::size_t below = (i + 1 == edge ? i : i + 1) * edge;
    sum_rows(x + above, x + i * edge, x + below, edge, a.sum.data(), a.step.data());
    sum_rows(y + above, y + i * edge, y + below, edge, b.sum.data(), b.step.data());
    compare_gradients(a.sum.data(), a.step.data(), b.sum.data(), b.step.data(), edge, gms + i * edge);
  }
}

VIALSIGHT_MULTIVERSION
void gms_of_patch(const float* x, const float* y, std::size_t edge, GradientRows& a, GradientRows& b,
                  double* gms) noexcept {
  compare_images(x, y, edge, a, b, gms);
}

VIALSIGHT_MULTIVERSION
void gms_of_scale(const double* x, const double* y, std::size_t edge, GradientRows& a, GradientRows& b,
                  double* gms) noexcept {
  compare_images(x, y, edge, a, b, gms);
}

template <typename Sample>
VIALSIGHT_INLINE void average(const Sample* fine, std::size_t edge, double* __restrict coarse) noexcept {
  const std::size_t half = edge / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const Sample* const top = fine + 2 * i * edge;
    const Sample* const bottom = top + edge;
    for (std::size_t j = 0; j < half; ++j) {
      coarse[i * half + j] = 0.25 * ((static_cast<double>(top[2 * j]) + static_cast<double>(top[2 * j + 1])) +
                                     (static_cast<double>(bottom[2 * j]) + static_cast<double>(bottom[2 * j + 1])));
    }
  }
}

VIALSIGHT_MULTIVERSION
void average_patch(const float* fine, std::size_t edge, double* coarse) noexcept { average(fine, edge, coarse); }

VIALSIGHT_MULTIVERSION
void average_scale(const double* fine, std::size_t edge, double* coarse) noexcept { average(fine, edge, coarse); }

// 1 − MSGMS + (x − x̂)², in place of the scales' sum: the mean over 21×21 is linear.
VIALSIGHT_MULTIVERSION
void add_squares(const float* x, const float* y, std::size_t count, double* sum) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    sum[i] = (1.0 - sum[i] / static_cast<double>(kScales)) + difference * difference;
  }
}

// One scale below the patch's own.
struct Scale {
  Scale(std::size_t edge_, int patch_size)
      : edge(edge_),
        x(edge * edge),
        y(edge * edge),
        gms(edge * edge),
        resize({static_cast<int>(edge), static_cast<int>(edge)}, {patch_size, patch_size}) {}

  std::size_t edge;
  std::vector<double> x;
  std::vector<double> y;
  std::vector<double> gms;
  BilinearResize resize;
};

class Msgms final : public Component {
 public:
  Msgms(int edge, std::size_t reconstruction)
      : edge_(edge),
        reconstruction_(reconstruction),
        x_rows_(static_cast<std::size_t>(edge)),
        y_rows_(static_cast<std::size_t>(edge)),
        sum_(size().pixels()),
        result_(size().pixels()),
        filter_(size()) {
    for (std::size_t k = 1; k < kScales; ++k) scales_.emplace_back(static_cast<std::size_t>(edge) >> k, edge);
  }

  [[nodiscard]] MapSize size() const noexcept override { return {edge_, edge_}; }

  [[nodiscard]] double score(const PatchData& data, std::size_t region) noexcept override {
    return largest(map(data, region));
  }

  [[nodiscard]] std::span<const double> map(const PatchData& data, std::size_t /*region*/) noexcept override {
    const float* const x = data.patch.data();
    const float* const y = data.outputs[reconstruction_].data();
    gms_of_patch(x, y, static_cast<std::size_t>(edge_), x_rows_, y_rows_, sum_.data());
    average_patch(x, static_cast<std::size_t>(edge_), scales_[0].x.data());
    average_patch(y, static_cast<std::size_t>(edge_), scales_[0].y.data());
    for (std::size_t k = 0; k < scales_.size(); ++k) add_scale(k);
    add_squares(x, y, sum_.size(), sum_.data());
    filter_.apply(sum_, result_);
    return result_;
  }

 private:
  // Adds its similarity to the sum, and makes the images of the next.
  void add_scale(std::size_t k) noexcept {
    Scale& scale = scales_[k];
    gms_of_scale(scale.x.data(), scale.y.data(), scale.edge, x_rows_, y_rows_, scale.gms.data());
    scale.resize.add(scale.gms, sum_);
    if (k + 1 == scales_.size()) return;
    average_scale(scale.x.data(), scale.edge, scales_[k + 1].x.data());
    average_scale(scale.y.data(), scale.edge, scales_[k + 1].y.data());
  }

  int edge_;
  std::size_t reconstruction_;
  GradientRows x_rows_;
  GradientRows y_rows_;
  std::vector<Scale> scales_;
  std::vector<double> sum_;
  std::vector<double> result_;
  MeanFilter filter_;
};

}  // namespace

std::unique_ptr<Component> make_msgms_component(ObjectReader& reader, const ComponentContext& context) {
  reader.require_constant("c", kC);
  reader.require_constant("scales", static_cast<double>(kScales));
  reader.require_constant("window_size", MeanFilter::kWindow);
  const std::size_t reconstruction = require_reconstruction(reader, context.inputs);
  const int edge = context.inputs.patch_size;
  if (edge % kCoarsest == 0) return std::make_unique<Msgms>(edge, reconstruction);
  reader.fail("scales", "a patch size divisible by 8, which four scales need", std::to_string(edge));
  return nullptr;
}

}  // namespace vialsight
