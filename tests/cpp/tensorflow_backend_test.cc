// What only the TensorFlow module does; backend_module_test.cc has what every runtime's does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "backend/backend_loader.h"
#include "graph_writer.h"

namespace vialsight::test {
namespace {

using ::testing::HasSubstr;

// Linking without --no-as-needed drops libtensorflow_cc, and then no session can be made.
TEST(BackendModuleTest, TheModuleNeedsBothLibraries) {
  std::ifstream stream(VIALSIGHT_BACKEND_MODULE, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  EXPECT_THAT(bytes, HasSubstr("libtensorflow_cc.so.2"));
  EXPECT_THAT(bytes, HasSubstr("libtensorflow_framework.so.2"));
}

class TensorFlowOptionsTest : public ::testing::Test {
 protected:
  TensorFlowOptionsTest() {
    GraphWriter graph;
    graph.add(placeholder("patches", kFloat, {-1, 4, 4, 1})).add(binary("twice", "AddV2", "patches", "patches"));
    model_ = graph.bytes();
    options.model = model_.data();
    options.model_size = model_.size();
    options.input_name = "patches";
    options.outputs = {{"twice", OutputRole::kMap, 4, 4}};
    options.patch_size = 4;
  }
  Status load() { return load_backend(VIALSIGHT_BACKEND_MODULE, options).status(); }

  BackendOptions options;

 private:
  std::string model_;
};

TEST_F(TensorFlowOptionsTest, RefusesAnotherPrecision) {
  options.precision = Precision::kBfloat16;
  EXPECT_EQ(load().code(), Code::kUnsupported);
  EXPECT_THAT(load().message(), HasSubstr("expected precision float32, got bfloat16"));
}

TEST_F(TensorFlowOptionsTest, RunsOnTheCpuThatWasChosen) {
  options.device = "cpu";
  EXPECT_TRUE(load().ok()) << load().message();
}

// Where there are GPUs, this one is not there.
TEST_F(TensorFlowOptionsTest, RefusesAGpuThatIsNotThere) {
  options.device = "gpu:63";
  const Status status = load();
  ASSERT_FALSE(status.ok());
  if (status.code() == Code::kNotFound) {
    EXPECT_THAT(status.message(), HasSubstr("expected a GPU, as device \"gpu:63\" asks for"));
  }
}

}  // namespace
}  // namespace vialsight::test
