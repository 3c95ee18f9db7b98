// The small line of bundle_writer.h through the C API, on the backend module that reconstructs every patch as itself.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bundle_writer.h"
#include "temporary_folder.h"
#include "vialsight/c_api.h"

namespace vialsight::test {

// An error with this code, whose message has this text.
#define EXPECT_REFUSED(call, code, text)                                          \
  do {                                                                            \
    EXPECT_EQ(call, code);                                                        \
    EXPECT_THAT(std::string(vialsight_last_error()), ::testing::HasSubstr(text)); \
  } while (false)

// A 40×30 image that no other number gives, with something to see everywhere.
class CFrame {
 public:
  explicit CFrame(std::uint32_t number) : pixels_(40 * 30) {
    for (std::size_t i = 0; i < pixels_.size(); ++i) pixels_[i] = static_cast<unsigned char>(i % 7);
    for (std::size_t i = 0; i < 4; ++i) pixels_[i] = static_cast<unsigned char>(number >> (8 * i) & 127U);
  }
  [[nodiscard]] vialsight_frame frame() const {
    vialsight_frame result = {};
    result.struct_size = sizeof result;
    result.data = pixels_.data();
    result.row_stride_bytes = 40;
    result.width = 40;
    result.height = 30;
    result.format = VIALSIGHT_GRAY8;
    return result;
  }

 private:
  std::vector<unsigned char> pixels_;
};

template <typename T>
T sized() {
  T value = {};
  value.struct_size = sizeof value;
  return value;
}

class CApiTest : public ::testing::Test {
 protected:
  explicit CApiTest(BundleWriter writer = BundleWriter()) {
    writer.write(folder_.path() / "small.vsb");
    EXPECT_EQ(vialsight_bundle_load((folder_.path() / "small.vsb").c_str(), &bundle), VIALSIGHT_OK);
    EXPECT_EQ(vialsight_options_init(&options), VIALSIGHT_OK);
    options.backend_module = FAKE_BACKEND;
  }
  ~CApiTest() override {
    EXPECT_EQ(vialsight_inspector_destroy(inspector), VIALSIGHT_OK);
    EXPECT_EQ(vialsight_bundle_destroy(bundle), VIALSIGHT_OK);
  }

  void create() {
    ASSERT_EQ(vialsight_inspector_create(bundle, &options, &inspector), VIALSIGHT_OK) << vialsight_last_error();
  }
  // A frame that was never seen before.
  vialsight_frame fresh() {
    frames_.emplace_back(static_cast<std::uint32_t>(frames_.size()));
    return frames_.back().frame();
  }
  vialsight_status submit(std::int32_t index) {
    const vialsight_frame frame = fresh();
    return vialsight_submit(inspector, index, &frame);
  }
  // An accepted strip; nothing, when it is not.
  void inspect_good(std::uint64_t strip_id) {
    const vialsight_frame both[] = {fresh(), fresh()};
    ASSERT_EQ(vialsight_inspect(inspector, strip_id, both, 2, VIALSIGHT_NO_DEADLINE, &verdict), VIALSIGHT_OK);
    ASSERT_EQ(verdict.verdict, VIALSIGHT_ACCEPT);
  }

  vialsight_bundle* bundle = nullptr;
  vialsight_inspector* inspector = nullptr;
  vialsight_options options = sized<vialsight_options>();
  vialsight_verdict verdict = sized<vialsight_verdict>();

 private:
  TemporaryFolder folder_;
  std::vector<CFrame> frames_;
};

}  // namespace vialsight::test
