#include "vialsight/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "bundle_writer.h"
#include "temporary_folder.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kPixels = 144;

// A bundle whose network gives back what it gets.
class NetworkTest : public ::testing::Test {
 protected:
  NetworkTest() { writer_.write(folder_.path() / "small.vsb"); }

  Result<Network> create() { return Network::create(Bundle::load(folder_.path() / "small.vsb").value(), options); }

  static Status run(Network& network, const std::vector<float>& patches, std::vector<float>& output) {
    const std::span<float> outputs[] = {output};
    return network.run(patches, outputs);
  }
  static void expect_refused(const Status& status, const char* text) {
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr(text));
  }

  NetworkOptions options{"", std::nullopt, 0, FAKE_BACKEND};

 private:
  TemporaryFolder folder_;
  BundleWriter writer_;
};

TEST_F(NetworkTest, RunsPatches) {
  Result<Network> network = create();
  ASSERT_TRUE(network.ok()) << network.status().message();
  std::vector<float> patches(3 * kPixels);
  for (std::size_t i = 0; i < patches.size(); ++i) patches[i] = static_cast<float>(i);
  std::vector<float> output(patches.size());
  ASSERT_TRUE(run(network.value(), patches, output).ok());
  EXPECT_EQ(output, patches);
  EXPECT_EQ(network.value().runtime_version(), "0");
}

TEST_F(NetworkTest, RefusesSizesThatDoNotFit) {
  Network network = create().value();
  std::vector<float> patches(2 * kPixels);
  std::vector<float> output(2 * kPixels);
  expect_refused(run(network, std::vector<float>(kPixels + 1), output), "expected patches of 144 floats, got 145");
  expect_refused(run(network, {}, output), "expected patches of 144 floats, got 0");
  std::vector<float> small(kPixels);
  expect_refused(run(network, patches, small), "expected 288 floats for output \"reconstruction\", got 144");
  expect_refused(network.run(patches, {}), "expected 1 outputs, got 0");
}

TEST_F(NetworkTest, RefusesARuntimeThatNobodyKnows) {
  options.runtime = "../tensorflow";
  EXPECT_EQ(create().status().code(), Code::kUnsupported);
  EXPECT_THAT(create().status().message(), HasSubstr("expected one of tensorflow, openvino, got \"../tensorflow\""));
}

TEST_F(NetworkTest, RefusesThreadsThatCannotBe) {
  options.threads = 1025;
  expect_refused(create().status(), "NetworkOptions::threads: expected 0 (one per core) to 1024, got 1025");
}

TEST_F(NetworkTest, WhatWasMovedFromSaysSo) {
  Network network = create().value();
  const Network other = std::move(network);
  std::vector<float> output(kPixels);
  // NOLINTNEXTLINE(bugprone-use-after-move): what it says is tested
  EXPECT_EQ(run(network, std::vector<float>(kPixels), output).code(), Code::kFailedPrecondition);
  EXPECT_EQ(network.runtime_version(), "");
}

}  // namespace
}  // namespace vialsight::test
