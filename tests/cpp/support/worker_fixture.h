// Inspectors on the small line of bundle_writer.h whose backend runs in a real vialsight-worker, without TensorFlow.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "bundle_writer.h"
#include "faulty_backend.h"
#include "temporary_folder.h"
#include "vialsight/inspector.h"

namespace vialsight::test {

// Descriptors of this process.
inline std::size_t count_descriptors() {
  const std::filesystem::directory_iterator descriptors("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(descriptors), end(descriptors)));
}

class WorkerTest : public ::testing::Test {
 protected:
  WorkerTest() {
    options.backend_module = FAULTY_BACKEND;
    options.isolation = Isolation::kWorker;
    options.worker.program = WORKER_PROGRAM;
    options.require_fresh_frames = false;
  }
  Result<Inspector> try_create() {
    writer.write(path());
    const Result<Bundle> bundle = Bundle::load(path());
    return bundle.ok() ? Inspector::create(bundle.value(), options) : Result<Inspector>(bundle.status());
  }
  Inspector create() { return try_create().value(); }
  [[nodiscard]] std::filesystem::path path() const { return folder_.path() / "small.vsb"; }

  // Frame 1's last patch carries `order`; 0: none.
  static StripVerdict inspect(Inspector& inspector, unsigned char order, std::chrono::milliseconds budget) {
    const Image good = image(0);
    const Image told = image(order);
    const std::array<FrameView, 2> frames = {view(good), view(told)};
    return inspector.inspect(1, frames, Clock::now() + budget);
  }
  using Image = std::vector<unsigned char>;
  static Image image(unsigned char order) {
    Image pixels(40 * 30);
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<unsigned char>(20 + i % 7);
    const Box box = small_layout().boxes[1][1];
    if (order != 0) pixels[static_cast<std::size_t>(box.y * 40 + box.x)] = order;
    return pixels;
  }
  static FrameView view(const Image& pixels) { return {pixels.data(), 40, 30, 40, PixelFormat::kGray8}; }
  static void wait_until_ready(const Inspector& inspector) {
    while (!inspector.ready()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  static constexpr std::chrono::milliseconds kAmple{60'000};
  BundleWriter writer;
  InspectorOptions options;

 private:
  TemporaryFolder folder_;
};

}  // namespace vialsight::test
