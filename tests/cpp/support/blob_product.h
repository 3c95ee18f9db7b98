// A product made of blots, drawn at any pose from its formula: no resampling that a locator could share the errors of.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "vialsight/patches.h"
#include "vialsight/pose.h"

namespace vialsight::test {

struct Picture {
  int width;
  int height;
  std::vector<double> values;  // in [0, 1]

  [[nodiscard]] double& at(int x, int y) { return values[static_cast<std::size_t>(y * width + x)]; }
  [[nodiscard]] double at(int x, int y) const { return values[static_cast<std::size_t>(y * width + x)]; }
};

class BlobProduct {
 public:
  explicit BlobProduct(unsigned seed = 1, int width = 320, int height = 256) : width_(width), height_(height) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<double> unit(0.0, 1.0);
    for (int i = 0; i < 60; ++i) {
      blobs_.push_back({(unit(generator) - 0.5) * width, (unit(generator) - 0.5) * height, 5.0 + 15.0 * unit(generator),
                        0.2 * (unit(generator) - 0.5)});
    }
  }

  [[nodiscard]] Picture draw(const Pose& pose, double contrast = 1.0) const {
    Picture picture{width_, height_, std::vector<double>(static_cast<std::size_t>(width_ * height_), 0.5)};
    for (const Blob& blob : blobs_) add(blob, pose, contrast, picture);
    return picture;
  }

 private:
  struct Blob {
    double u;
    double v;
    double sigma;
    double height;
  };

  static void add(const Blob& blob, const Pose& pose, double contrast, Picture& picture) {
    const double centre_x = (picture.width - 1) / 2.0 + blob.u + pose.dx + pose.turn * blob.v;
    const double centre_y = (picture.height - 1) / 2.0 + blob.v + pose.dy - pose.turn * blob.u;
    const double reach = 5.0 * blob.sigma;
    const int left = std::max(0, static_cast<int>(centre_x - reach));
    const int right = std::min(picture.width, static_cast<int>(centre_x + reach) + 1);
    const int top = std::max(0, static_cast<int>(centre_y - reach));
    const int bottom = std::min(picture.height, static_cast<int>(centre_y + reach) + 1);
    // Blots are round, and the stretch of the small-angle form is far below a pixel of theirs.
    for (int y = top; y < bottom; ++y) {
      for (int x = left; x < right; ++x) {
        const double square = (x - centre_x) * (x - centre_x) + (y - centre_y) * (y - centre_y);
        picture.at(x, y) += contrast * blob.height * std::exp(-0.5 * square / (blob.sigma * blob.sigma));
      }
    }
  }

  int width_;
  int height_;
  std::vector<Blob> blobs_;
};

// A picture as a camera gives it; rows lie `padding` pixels further apart than they are wide.
template <typename Pixel>
class CameraFrame {
 public:
  CameraFrame(const Picture& picture, int bit_depth, int padding = 0)
      : width_(picture.width), height_(picture.height), stride_(picture.width + padding) {
    const double largest = static_cast<double>((1 << bit_depth) - 1);
    pixels_.assign(static_cast<std::size_t>(stride_ * height_), static_cast<Pixel>(~0U));
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) {
        const double value = picture.at(x, y);
        pixels_[static_cast<std::size_t>(y * stride_ + x)] =
            static_cast<Pixel>(std::lround(std::clamp(value, 0.0, 1.0) * largest));
      }
    }
  }

  [[nodiscard]] FrameView view() const {
    return {pixels_.data(), width_, height_, stride_ * static_cast<std::ptrdiff_t>(sizeof(Pixel)),
            sizeof(Pixel) == 1 ? PixelFormat::kGray8 : PixelFormat::kGray16};
  }

 private:
  int width_;
  int height_;
  int stride_;
  std::vector<Pixel> pixels_;
};

using Frame8 = CameraFrame<std::uint8_t>;
using Frame16 = CameraFrame<std::uint16_t>;

}  // namespace vialsight::test
