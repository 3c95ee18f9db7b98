// Patches scored outside a slot, batch by batch.
#include <algorithm>
#include <limits>
#include <new>
#include <string>
#include <vector>

#include "imaging/grey_range.h"
#include "inspector/inspector_impl.h"

namespace vialsight {
namespace {

Status wrong_size(const char* what, std::size_t expected, std::size_t came) {
  return {Code::kInvalidArgument, std::string("score_patches: expected ") + std::to_string(expected) + " " + what +
                                      ", got " + std::to_string(came)};
}

Status check_outputs(const Bundle& bundle, const PatchResults& results) {
  if (results.outputs.empty()) return {};
  if (results.outputs.size() != bundle.outputs().size()) {
    return wrong_size("outputs, or none", bundle.outputs().size(), results.outputs.size());
  }
  for (std::size_t i = 0; i < results.outputs.size(); ++i) {
    const std::size_t expected = results.scores.size() * bundle.outputs()[i].pixels();
    if (results.outputs[i].size() == expected) continue;
    return wrong_size(("floats for output \"" + bundle.outputs()[i].name + "\"").c_str(), expected,
                      results.outputs[i].size());
  }
  return {};
}

Status check_regions(std::span<const std::size_t> regions, std::size_t count, std::size_t known) {
  if (!regions.empty() && regions.size() != count) return wrong_size("regions, or none", count, regions.size());
  const auto unknown =
      std::find_if(regions.begin(), regions.end(), [known](std::size_t each) { return each >= known; });
  if (unknown == regions.end()) return {};
  return {Code::kInvalidArgument,
          "score_patches: expected regions below " + std::to_string(known) + ", got " + std::to_string(*unknown)};
}

Status check_range(std::span<const float> patches) {
  const float* strange = beyond_grey_values(patches);
  if (strange == nullptr) return {};
  return {Code::kInvalidArgument, "score_patches: expected grey values from 0 to 1, got " + std::to_string(*strange) +
                                      "; divide pixels by 2^bit_depth - 1"};
}

Status check_sizes(const Bundle& bundle, std::span<const float> patches, std::span<const std::size_t> regions,
                   const PatchResults& results) {
  const std::size_t pixels = bundle.layout().pixels_per_patch();
  const std::size_t count = results.scores.size();
  if (patches.size() % pixels != 0 || patches.size() / pixels != count) {
    return {Code::kInvalidArgument, "score_patches: expected " + std::to_string(pixels) + " floats per score, got " +
                                        std::to_string(patches.size()) + " floats for " + std::to_string(count) +
                                        " scores"};
  }
  const std::size_t components = count * bundle.components().size();
  if (!results.components.empty() && results.components.size() != components) {
    return wrong_size("scores of components, or none", components, results.components.size());
  }
  if (Status status = check_outputs(bundle, results); !status.ok()) return status;
  return check_regions(regions, count, bundle.layout().region_count());
}

// Memory for what a caller of score_patches does not want, one batch of it.
class UnwantedResults {
 public:
  UnwantedResults(const Bundle& bundle, const PatchResults& wanted, std::size_t batch)
      : specs_(bundle.outputs()), components_(bundle.components().size()), wanted_(wanted) {
    if (wanted.components.empty()) own_components_.resize(batch * components_);
    if (wanted.outputs.empty()) {
      for (const OutputSpec& spec : specs_) own_outputs_.emplace_back(batch * spec.pixels());
    }
    outputs_.resize(specs_.size());
  }
  // Of the batch of `count` patches from `first` on.
  PatchResults batch(std::size_t first, std::size_t count) {
    for (std::size_t i = 0; i < specs_.size(); ++i) {
      const std::size_t size = specs_[i].pixels();
      outputs_[i] = wanted_.outputs.empty() ? std::span(own_outputs_[i]).first(count * size)
                                            : wanted_.outputs[i].subspan(first * size, count * size);
    }
    const std::span<float> components = wanted_.components.empty()
                                            ? std::span(own_components_).first(count * components_)
                                            : wanted_.components.subspan(first * components_, count * components_);
    return {wanted_.scores.subspan(first, count), components, outputs_};
  }

 private:
  const std::vector<OutputSpec>& specs_;
  std::size_t components_;
  PatchResults wanted_;
  std::vector<float> own_components_;
  std::vector<std::vector<float>> own_outputs_;
  std::vector<std::span<float>> outputs_;
};

}  // namespace

Status Inspector::Impl::score_patches(std::span<const float> patches, std::span<const std::size_t> regions,
                                      std::size_t batch_size, const PatchResults& results) {
  if (Status status = check_sizes(bundle_, patches, regions, results); !status.ok()) return status;
  if (Status status = check_range(patches); !status.ok()) return status;
  {
    const std::lock_guard lock(mutex_);
    if (slot_.is_open()) return {Code::kFailedPrecondition, "score_patches: a slot is open; close it first"};
  }
  // Scores of a call that fails half-way are not to be taken for scores.
  std::fill(results.scores.begin(), results.scores.end(), std::numeric_limits<float>::quiet_NaN());
  std::fill(results.components.begin(), results.components.end(), std::numeric_limits<float>::quiet_NaN());
  const Layout& layout = bundle_.layout();
  const std::size_t pixels = layout.pixels_per_patch();
  const std::size_t total = results.scores.size();
  const std::size_t wanted = batch_size == 0 ? layout.patches_per_frame() : batch_size;
  try {
    std::vector<std::size_t> known(regions.begin(), regions.end());
    for (std::size_t i = known.size(); i < total; ++i) known.push_back(i % layout.region_count());
    UnwantedResults memory(bundle_, results, std::min(wanted, total));
    for (std::size_t first = 0; first < total; first += wanted) {
      const std::size_t count = std::min(wanted, total - first);
      StageTimes times;
      Status status = pipeline_->score(patches.subspan(first * pixels, count * pixels),
                                       std::span(known).subspan(first, count), memory.batch(first, count), times);
      if (!status.ok()) return status;
    }
    return {};
  } catch (const std::bad_alloc&) {
    return {Code::kResourceExhausted, "score_patches: no memory"};
  }
}

}  // namespace vialsight
