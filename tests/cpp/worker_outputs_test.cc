// Several outputs of a backend in a process of its own: each in its block of the shared memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "backend/worker_backend.h"

namespace vialsight::test {
namespace {

using std::chrono::milliseconds;
using ::testing::Each;
using ::testing::SizeIs;

constexpr std::size_t kPixels = 16;  // of a patch of these tests

// A reconstruction of 4×4 and a map of 2×3; two strips of six patches, batches of three.
class WorkerOutputsTest : public ::testing::Test {
 protected:
  WorkerOutputsTest() {
    for (std::size_t i = 0; i < patches.size(); ++i) patches[i] = static_cast<float>(i) / 256.0F;
  }
  static std::unique_ptr<WorkerBackend> create() {
    const std::string model = "model";
    BackendOptions backend;
    backend.model = model.data();
    backend.model_size = model.size();
    backend.input_name = "input";
    backend.outputs = {{"output", OutputRole::kReconstruction, 4, 4}, {"map", OutputRole::kMap, 2, 3}};
    backend.patch_size = 4;
    backend.threads = 1;
    const WorkerOptions options{WORKER_PROGRAM, milliseconds(20'000), milliseconds(60'000)};
    return WorkerBackend::create({backend, FAULTY_BACKEND, {}, options, 6, 3}).value();
  }

  std::vector<float> patches = std::vector<float>(7 * kPixels);
};

// Seven patches in portions of three, from memory of our own.
TEST_F(WorkerOutputsTest, AreCopiedEachToItsPlace) {
  const auto backend = create();
  std::vector<float> reconstructions(patches.size());
  std::vector<float> maps(7 * 6);
  float* const targets[] = {reconstructions.data(), maps.data()};
  ASSERT_TRUE(backend->run(patches.data(), 7, targets).ok());
  EXPECT_EQ(reconstructions, patches);
  for (std::size_t i = 0; i < maps.size(); ++i) EXPECT_EQ(maps[i], -patches[i / 6 * kPixels]);
}

TEST_F(WorkerOutputsTest, AreWrittenInTheSharedMemory) {
  const auto backend = create();
  const PatchMemory memory = backend->memory();
  ASSERT_THAT(memory.outputs, SizeIs(2));
  ASSERT_EQ(memory.outputs[1].size(), 12 * 6);
  std::fill(memory.inputs.begin(), memory.inputs.end(), 0.5F);
  float* const targets[] = {&memory.outputs[0][8 * kPixels], &memory.outputs[1][8 * 6]};
  ASSERT_TRUE(backend->run(&memory.inputs[4 * kPixels], 3, targets).ok());
  EXPECT_THAT(memory.outputs[0].first(8 * kPixels), Each(0.0F));
  EXPECT_THAT(memory.outputs[0].subspan(8 * kPixels, 3 * kPixels), Each(0.5F));
  EXPECT_THAT(memory.outputs[0].subspan(11 * kPixels), Each(0.0F));
  EXPECT_THAT(memory.outputs[1].first(8 * 6), Each(0.0F));
  EXPECT_THAT(memory.outputs[1].subspan(8 * 6, 3 * 6), Each(-0.5F));
  EXPECT_THAT(memory.outputs[1].subspan(11 * 6), Each(0.0F));
}

// A request names one place: outputs at different ones are copied.
TEST_F(WorkerOutputsTest, MayLieAtDifferentPlaces) {
  const auto backend = create();
  const PatchMemory memory = backend->memory();
  std::fill(memory.inputs.begin(), memory.inputs.end(), 0.5F);
  float* const targets[] = {&memory.outputs[0][2 * kPixels], &memory.outputs[1][5 * 6]};
  ASSERT_TRUE(backend->run(memory.inputs.data(), 1, targets).ok());
  EXPECT_THAT(memory.outputs[0].subspan(2 * kPixels, kPixels), Each(0.5F));
  EXPECT_THAT(memory.outputs[0].subspan(3 * kPixels), Each(0.0F));
  EXPECT_THAT(memory.outputs[1].first(5 * 6), Each(0.0F));
  EXPECT_THAT(memory.outputs[1].subspan(5 * 6, 6), Each(-0.5F));
}

}  // namespace
}  // namespace vialsight::test
