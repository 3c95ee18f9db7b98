// `msgms`: D = mean₂₁(1 − MSGMS(x, x̂)) + mean₂₁((x − x̂)²) (Mekhilef eq. 7), s = max D.
//
// MSGMS: gradient magnitude similarity (Prewitt/3) on four scales by 2×2 averaging, brought back bilinearly, mean.
// Up to D in float32, whose errors the mean over 441 pixels takes away; the mean in double.
#include <algorithm>
#include <cmath>

#include "base/multiversion.h"
#include "scoring/component.h"
#include "scoring/mean_filter.h"
#include "scoring/pooling.h"

namespace vialsight {
namespace {

constexpr std::size_t kScales = 4;
constexpr std::size_t kCoarsest = std::size_t{1} << (kScales - 1);  // pixels that make one of the last scale
constexpr std::size_t kMargin = kCoarsest / 2;                      // that widening a row writes beyond its ends
constexpr double kC = 0.0026;                                       // for [0, 1]: 170 / 255² (Xue)

// Both images of one scale, row by row.
struct Pair {
  const float* x;
  const float* y;
  std::size_t edge;
};

// Sums of an image's rows, each with a replicated pixel at either end: the reflected border of a 3×3 filter.
struct GradientRows {
  std::vector<float> sum;   // over three rows
  std::vector<float> step;  // between the first and the third
  explicit GradientRows(std::size_t width) : sum(width + 2), step(width + 2) {}
};

VIALSIGHT_INLINE void sum_rows(const float* image, std::size_t edge, std::size_t i, float* __restrict sum,
                               float* __restrict step) noexcept {
  const float* const row = image + i * edge;
  const float* const above = i == 0 ? row : row - edge;
  const float* const below = i + 1 == edge ? row : row + edge;
  for (std::size_t j = 0; j < edge; ++j) {
    sum[j + 1] = above[j] + row[j] + below[j];
    step[j + 1] = above[j] - below[j];
  }
  sum[0] = sum[1];
  step[0] = step[1];
  sum[edge + 1] = sum[edge];
  step[edge + 1] = step[edge];
}

// GMS = (2·g·g' + c) / (g² + g'² + c) of one row; 9 times the squares, which saves dividing by 3.
VIALSIGHT_INLINE void compare_gradients(const float* sum, const float* step, const float* other_sum,
                                        const float* other_step, std::size_t width, float* __restrict gms) noexcept {
  constexpr auto kNineC = static_cast<float>(9.0 * kC);
  for (std::size_t j = 0; j < width; ++j) {
    const float gx = sum[j] - sum[j + 2];
    const float gy = step[j] + step[j + 1] + step[j + 2];
    const float other_gx = other_sum[j] - other_sum[j + 2];
    const float other_gy = other_step[j] + other_step[j + 1] + other_step[j + 2];
    const float square = gx * gx + gy * gy;
    const float other_square = other_gx * other_gx + other_gy * other_gy;
    gms[j] = (2.0F * std::sqrt(square * other_square) + kNineC) / (square + other_square + kNineC);
  }
}

VIALSIGHT_MULTIVERSION
void gms_row(const Pair& images, std::size_t i, GradientRows& a, GradientRows& b, float* gms) noexcept {
  sum_rows(images.x, images.edge, i, a.sum.data(), a.step.data());
  sum_rows(images.y, images.edge, i, b.sum.data(), b.step.data());
  compare_gradients(a.sum.data(), a.step.data(), b.sum.data(), b.step.data(), images.edge, gms);
}

VIALSIGHT_MULTIVERSION
void average(const float* fine, std::size_t edge, float* __restrict coarse) noexcept {
  const std::size_t half = edge / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const float* const top = fine + 2 * i * edge;
    const float* const bottom = top + edge;
    for (std::size_t j = 0; j < half; ++j) {
      coarse[i * half + j] = 0.25F * ((top[2 * j] + top[2 * j + 1]) + (bottom[2 * j] + bottom[2 * j + 1]));
    }
  }
}

VIALSIGHT_MULTIVERSION
void mix_rows(const float* low, const float* high, float fraction, std::size_t width, float* __restrict out) noexcept {
  for (std::size_t j = 0; j < width; ++j) out[j] = low[j] + fraction * (high[j] - low[j]);
}

// Adds to `out` what lies between each pixel of a padded row and the next. `out` begins half a coarse pixel before
// the row.
template <std::size_t kFactor>
VIALSIGHT_INLINE void add_between(const float* padded, std::size_t width, float* __restrict out) noexcept {
  for (std::size_t j = 0; j <= width; ++j) {
    for (std::size_t p = 0; p < kFactor; ++p) {
      constexpr float kStep = 1.0F / static_cast<float>(kFactor);
      const float fraction = (static_cast<float>(p) + 0.5F) * kStep;
      out[j * kFactor + p] += padded[j] + fraction * (padded[j + 1] - padded[j]);
    }
  }
}

VIALSIGHT_MULTIVERSION
void add_widened(const float* padded, std::size_t width, std::size_t factor, float* row) noexcept {
  if (factor == 2) return add_between<2>(padded, width, row - 1);
  if (factor == 4) return add_between<4>(padded, width, row - 2);
  add_between<8>(padded, width, row - 4);
}

// D before its mean: 1 − MSGMS + (x − x̂)²; both means are over the same window.
VIALSIGHT_MULTIVERSION
void add_squares(const float* x, const float* y, const float* sum, std::size_t width, float* __restrict out) noexcept {
  constexpr float kShare = 1.0F / static_cast<float>(kScales);
  for (std::size_t j = 0; j < width; ++j) {
    const float difference = x[j] - y[j];
    out[j] = (1.0F - kShare * sum[j]) + difference * difference;
  }
}

// One scale below the patch's own.
class Scale {
 public:
  explicit Scale(std::size_t edge, std::size_t factor)
      : edge_(edge), factor_(factor), x_(edge * edge), y_(edge * edge), gms_(edge * edge), mixed_(edge + 2) {}

  // Half the edge of `finer`.
  void compare(const Pair& finer, GradientRows& a, GradientRows& b) noexcept {
    average(finer.x, finer.edge, x_.data());
    average(finer.y, finer.edge, y_.data());
    for (std::size_t i = 0; i < edge_; ++i) gms_row(images(), i, a, b, gms_.data() + i * edge_);
  }
  [[nodiscard]] Pair images() const noexcept { return {x_.data(), y_.data(), edge_}; }

  // Adds row i of its similarity, at the patch's size, to `row` (half-pixel centres, borders replicated).
  void add_row(std::size_t i, float* row) noexcept {
    const std::size_t above = (i + factor_ / 2) / factor_;  // counted from 1
    const std::size_t low = above == 0 ? 0 : above - 1;
    const std::size_t high = std::min(above, edge_ - 1);
    const auto position = static_cast<float>((i + factor_ / 2) % factor_) + 0.5F;
    mix_rows(gms_.data() + low * edge_, gms_.data() + high * edge_, position / static_cast<float>(factor_), edge_,
             mixed_.data() + 1);
    mixed_.front() = mixed_[1];
    mixed_.back() = mixed_[edge_];
    add_widened(mixed_.data(), edge_, factor_, row);
  }

 private:
  std::size_t edge_;
  std::size_t factor_;  // pixels of the patch that make one of its own, along an edge
  std::vector<float> x_;
  std::vector<float> y_;
  std::vector<float> gms_;
  std::vector<float> mixed_;  // one row, with a replicated pixel at either end
};

class Msgms final : public Component {
 public:
  Msgms(std::size_t edge, std::size_t reconstruction)
      : edge_(edge),
        reconstruction_(reconstruction),
        x_rows_(edge),
        y_rows_(edge),
        sum_(edge + 2 * kMargin),
        differences_(edge * edge),
        map_(edge * edge),
        filter_(size()),
        pooling_(size(), 1) {
    for (std::size_t factor = 2; factor <= kCoarsest; factor *= 2) scales_.emplace_back(edge / factor, factor);
  }

  [[nodiscard]] MapSize size() const noexcept override { return {static_cast<int>(edge_), static_cast<int>(edge_)}; }

  [[nodiscard]] double score(const PatchData& data, std::size_t /*region*/) noexcept override {
    filter(data, false);
    return pooling_.result(map_);
  }

  [[nodiscard]] std::span<const double> map(const PatchData& data, std::size_t /*region*/) noexcept override {
    filter(data, true);
    return map_;
  }

 private:
  // All rows of D, pooled; without `keep` each is written over the one before.
  void filter(const PatchData& data, bool keep) noexcept {
    compare({data.patch.data(), data.outputs[reconstruction_].data(), edge_});
    pooling_.begin();
    for (std::size_t i = 0; i < edge_; ++i) {
      double* const row = map_.data() + (keep ? i * edge_ : 0);
      filter_.filter_row(differences_.data(), i, row);
      pooling_.add_row(row);
    }
  }

  // D before its mean.
  void compare(const Pair& images) noexcept {
    Pair finer = images;
    for (Scale& scale : scales_) {
      scale.compare(finer, x_rows_, y_rows_);
      finer = scale.images();
    }
    float* const sum = sum_.data() + kMargin;
    for (std::size_t i = 0; i < edge_; ++i) {
      gms_row(images, i, x_rows_, y_rows_, sum);
      for (Scale& scale : scales_) scale.add_row(i, sum);
      const std::size_t start = i * edge_;
      add_squares(images.x + start, images.y + start, sum, edge_, differences_.data() + start);
    }
  }

  std::size_t edge_;
  std::size_t reconstruction_;
  GradientRows x_rows_;
  GradientRows y_rows_;
  std::vector<Scale> scales_;
  std::vector<float> sum_;          // one row of the scales' similarities, with margins
  std::vector<float> differences_;  // D before its mean
  std::vector<double> map_;
  MeanFilter filter_;
  Pooling pooling_;
};

}  // namespace

std::unique_ptr<Component> make_msgms_component(ObjectReader& reader, const ComponentContext& context) {
  reader.require_constant("c", kC);
  reader.require_constant("scales", static_cast<double>(kScales));
  reader.require_constant("window_size", MeanFilter::kWindow);
  const std::size_t reconstruction = require_reconstruction(reader, context.inputs);
  const auto edge = static_cast<std::size_t>(context.inputs.patch_size);
  if (edge % kCoarsest == 0) return std::make_unique<Msgms>(edge, reconstruction);
  reader.fail("scales", "a patch size divisible by 8, which four scales need", std::to_string(edge));
  return nullptr;
}

}  // namespace vialsight
