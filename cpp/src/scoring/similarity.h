// SSIM of one patch, computed once for all components that need it.
#pragma once

#include <cstddef>
#include <vector>

#include "imaging/ssim_map.h"
#include "vialsight/score.h"
#include "vialsight/ssim.h"

namespace vialsight {

// Sizes are not checked: patches of at least 11×11. forget() before each patch.
class Similarity {
 public:
  explicit Similarity(int edge) : edge_(static_cast<std::size_t>(edge)), scratch_(ssim_scratch_size(edge, edge)) {}

  // Rows of P in the middle of a P×P map; call before map(), when the score is made.
  void keep_map() { map_.resize(edge_ * edge_); }
  void forget() noexcept { fresh_ = false; }

  // The mean, as vialsight::ssim to the last bit.
  [[nodiscard]] double mean(const PatchData& data, std::size_t reconstruction) noexcept {
    compute(data, reconstruction);
    return mean_;
  }
  // P×P, without values in its border of 5 pixels.
  [[nodiscard]] std::span<const double> map(const PatchData& data, std::size_t reconstruction) noexcept {
    compute(data, reconstruction);
    return map_;
  }

 private:
  void compute(const PatchData& data, std::size_t reconstruction) noexcept {
    if (fresh_) return;
    double* const start = map_.empty() ? nullptr : map_.data() + (edge_ + 1) * (kSsimWindow / 2);
    mean_ = ssim_map(data.patch.data(), data.outputs[reconstruction].data(), edge_, edge_, scratch_, start, edge_);
    fresh_ = true;
  }

  std::size_t edge_;
  std::vector<double> scratch_;
  std::vector<double> map_;
  double mean_ = 0.0;
  bool fresh_ = false;
};

}  // namespace vialsight
