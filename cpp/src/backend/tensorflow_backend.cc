// The backend on TensorFlow's C++ sessions; the only source that includes TensorFlow. C++17, as its headers are.
//
// What TensorFlow prints: its messages below ERROR are dropped while a session is made. What its libraries print while
// they are loaded (a note on oneDNN, CUDA's messages) comes before any code of ours runs, and nothing silences it;
// vialsight-worker and the command line keep it back (base/kept_stderr.h). A host's descriptor 2 is the host's.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/globals.h"
#include "backend/allowed_ops.h"
#include "backend/backend.h"
#include "backend/quantisation.h"
#include "base/cores.h"
#include "tensorflow/c/c_api.h"
#include "tensorflow/core/framework/device_attributes.pb.h"
#include "tensorflow/core/framework/graph.pb.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor_shape.pb.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/platform/threadpool.h"
#include "tensorflow/core/platform/threadpool_interface.h"
#include "tensorflow/core/platform/threadpool_options.h"
#include "tensorflow/core/protobuf/config.pb.h"
#include "tensorflow/core/public/session.h"
#include "tensorflow/core/public/session_options.h"
#include "tsl/platform/tensor_float_32_utils.h"

#ifndef VIALSIGHT_TENSORFLOW_VERSION
#error "VIALSIGHT_TENSORFLOW_VERSION must be the version of the TensorFlow headers, for instance \"2.21.0\""
#endif

namespace vialsight {
namespace {

namespace tf = tensorflow;

Status failure(const char* what, const absl::Status& status) {
  return {Code::kBackendFault, std::string("TensorFlow: ") + what + ": " + std::string(status.message())};
}

// --- The graph, before any session exists ---------------------------------------------------------------------------

Status parse(const BackendOptions& options, tf::GraphDef& graph) {
  // Protocol buffers count their bytes in an int.
  constexpr auto kMaxSize = static_cast<std::size_t>(std::numeric_limits<int>::max());
  if (options.model_size > kMaxSize) return {Code::kUnsupported, "model.pb: expected less than 2 GiB"};
  if (options.model_size > 0 && graph.ParseFromArray(options.model, static_cast<int>(options.model_size))) return {};
  return {Code::kDataCorrupt, "model.pb: not a serialised TensorFlow GraphDef; freeze the bundle again"};
}

// Of what TensorFlow itself has read, and not by graph_operations.h: nothing that the two read differently gets past.
Status check_op(const tf::NodeDef& node, const std::string& place) {
  if (is_allowed_op(node.op())) return {};
  return {Code::kUnsupported, "model.pb: node \"" + node.name() + "\"" + place + " uses operation \"" + node.op() +
                                  "\", which a bundle may not contain; freeze a plain convolutional network"};
}

// Functions are graphs within the graph: the same rule holds for their nodes.
Status check_ops(const tf::GraphDef& graph) {
  for (const tf::NodeDef& node : graph.node()) {
    if (Status status = check_op(node, ""); !status.ok()) return status;
  }
  for (const tf::FunctionDef& function : graph.library().function()) {
    for (const tf::NodeDef& node : function.node_def()) {
      Status status = check_op(node, " of function \"" + function.signature().name() + "\"");
      if (!status.ok()) return status;
    }
  }
  return {};
}

const tf::NodeDef* find_node(const tf::GraphDef& graph, const std::string& name) {
  const auto& nodes = graph.node();
  const auto node = std::find_if(nodes.begin(), nodes.end(), [&](const auto& n) { return n.name() == name; });
  return node == nodes.end() ? nullptr : &*node;
}

bool has_shape(const tf::TensorShapeProto& shape, int patch_size) {
  return !shape.unknown_rank() && shape.dim_size() == 4 && shape.dim(0).size() == -1 &&
         shape.dim(1).size() == patch_size && shape.dim(2).size() == patch_size && shape.dim(3).size() == 1;
}

Status check_input(const tf::GraphDef& graph, const BackendOptions& options) {
  const tf::NodeDef* node = find_node(graph, options.input_name);
  const std::string what = "model.pb: input node \"" + options.input_name + "\"";
  if (node == nullptr) return {Code::kDataCorrupt, what + " is missing"};
  const auto& attributes = node->attr();
  const auto dtype = attributes.find("dtype");
  const auto shape = attributes.find("shape");
  const bool valid = node->op() == "Placeholder" && dtype != attributes.end() && shape != attributes.end() &&
                     dtype->second.type() == tf::DT_FLOAT && has_shape(shape->second.shape(), options.patch_size);
  if (valid) return {};
  const std::string edge = std::to_string(options.patch_size);
  return {Code::kDataCorrupt, what + ": expected a float32 placeholder of shape [?," + edge + "," + edge + ",1]"};
}

Status check_graph(const tf::GraphDef& graph, const BackendOptions& options) {
  if (Status status = check_ops(graph); !status.ok()) return status;
  if (Status status = check_input(graph, options); !status.ok()) return status;
  for (const OutputSpec& output : options.outputs) {
    if (find_node(graph, output.name) != nullptr) continue;
    return {Code::kDataCorrupt, "model.pb: output node \"" + output.name + "\" is missing"};
  }
  return {};
}

// "2.21" of "2.21.0": TensorFlow's C++ interface changes between minor versions.
std::string minor_of(const std::string& version) { return version.substr(0, version.find('.', version.find('.') + 1)); }

Status check_version() {
  if (minor_of(TF_Version()) == minor_of(VIALSIGHT_TENSORFLOW_VERSION)) return {};
  return {Code::kUnsupported,
          std::string("TensorFlow: expected version ") + minor_of(VIALSIGHT_TENSORFLOW_VERSION) + ", got " +
              TF_Version() + "; run: pip install 'tensorflow-cpu==" + minor_of(VIALSIGHT_TENSORFLOW_VERSION) + ".*'"};
}

// Not ScopedStderrThreshold: before absl::InitializeLog, which is the host's to call, everything goes to stderr.
class QuietLog {
 public:
  QuietLog() : before_(absl::MinLogLevel()) {
    absl::SetMinLogLevel(std::max(before_, absl::LogSeverityAtLeast::kError));
  }
  QuietLog(const QuietLog&) = delete;
  QuietLog& operator=(const QuietLog&) = delete;
  ~QuietLog() { absl::SetMinLogLevel(before_); }

 private:
  absl::LogSeverityAtLeast before_;
};

// --- The session ----------------------------------------------------------------------------------------------------

// Threads inside one operation. A session's own setting counts only for the first session of a process, because all
// share one pool then; a pool handed to each run is what Eigen's operations use instead. oneDNN's convolutions stay
// with the shared one: Inspectors of one process should ask for the same number (docs/performance.md).
class OperationThreads final : public tf::thread::ThreadPoolInterface {
 public:
  explicit OperationThreads(int count) : pool_(tf::Env::Default(), "vialsight", count) {}
  void Schedule(std::function<void()> task) override { pool_.Schedule(std::move(task)); }
  void ScheduleWithHint(std::function<void()> task, int start, int limit) override {
    pool_.ScheduleWithHint(std::move(task), start, limit);
  }
  [[nodiscard]] int NumThreads() const override { return pool_.NumThreads(); }
  [[nodiscard]] int CurrentThreadId() const override { return pool_.CurrentThreadId(); }

 private:
  tf::thread::ThreadPool pool_;
};

constexpr std::size_t kGpuPrefix = 4;  // "gpu:"

bool is_on_gpu(const BackendOptions& options) { return options.device.compare(0, kGpuPrefix, "gpu:") == 0; }

void choose_device(const BackendOptions& options, tf::ConfigProto& config) {
  // As much of the GPU's memory as it needs: other programs may have the rest.
  config.mutable_gpu_options()->set_allow_growth(true);
  if (options.device == "cpu") (*config.mutable_device_count())["GPU"] = 0;
  if (is_on_gpu(options)) config.mutable_gpu_options()->set_visible_device_list(options.device.substr(kGpuPrefix));
}

// Without a GPU TensorFlow runs on the CPU, and says nothing.
Status check_device(tf::Session& session, const BackendOptions& options) {
  if (!is_on_gpu(options)) return {};
  std::vector<tf::DeviceAttributes> devices;
  const absl::Status status = session.ListDevices(&devices);
  if (!status.ok()) return failure("its devices cannot be listed", status);
  const bool found = std::any_of(devices.begin(), devices.end(),
                                 [](const tf::DeviceAttributes& device) { return device.device_type() == "GPU"; });
  if (found) return {};
  return {Code::kNotFound, "TensorFlow: expected a GPU, as device \"" + options.device +
                               "\" asks for, and has none here; check `nvidia-smi`, run: pip install " +
                               "'vialsight[gpu]', or choose \"cpu\""};
}

tf::SessionOptions session_options(const BackendOptions& options) {
  tf::SessionOptions result;
  choose_device(options, result.config);
  result.config.set_intra_op_parallelism_threads(threads_or_cores(options.threads));
  result.config.set_inter_op_parallelism_threads(1);
  result.config.set_allow_soft_placement(true);
  return result;
}

tf::CallableOptions callable_options(const BackendOptions& options) {
  tf::CallableOptions result;
  result.add_feed(options.input_name + ":0");
  for (const OutputSpec& output : options.outputs) result.add_fetch(output.name + ":0");
  // The calling thread runs the graph: no hand-over to a pool whose threads sleep between two strips.
  result.mutable_run_options()->set_inter_op_thread_pool(-1);
  return result;
}

Status check_fetch(const tf::Tensor& came, const OutputSpec& output, std::size_t count) {
  const tf::TensorShape expected = {static_cast<std::int64_t>(count), output.height, output.width, 1};
  if (came.dtype() == tf::DT_FLOAT && came.shape() == expected) return {};
  return {Code::kBackendFault, "TensorFlow: output \"" + output.name + "\": expected float32 of shape " +
                                   expected.DebugString() + ", got " + came.DebugString(0)};
}

class TensorFlowBackend final : public Backend {
 public:
  explicit TensorFlowBackend(const BackendOptions& options)
      : patch_size_(options.patch_size), outputs_(options.outputs), threads_(threads_or_cores(options.threads)) {}
  ~TensorFlowBackend() override {
    if (session_ != nullptr) (void)session_->Close();
  }

  Status start(const tf::GraphDef& graph, const BackendOptions& options);
  Status run(const float* patches, std::size_t count, float* const* outputs) noexcept override;

 private:
  [[nodiscard]] tf::TensorShape shape(std::size_t count) const {
    return {static_cast<std::int64_t>(count), patch_size_, patch_size_, 1};
  }
  const std::vector<tf::Tensor>& input(std::size_t count);
  Status run_session(const float* patches, std::size_t count, float* const* outputs);

  int patch_size_;
  std::vector<OutputSpec> outputs_;
  OperationThreads threads_;
  std::unique_ptr<tf::Session> session_;
  tf::Session::CallableHandle callable_ = 0;
  // One input tensor per batch size in use: the line's, made at warm-up, is never replaced.
  std::vector<std::vector<tf::Tensor>> inputs_;
};

Status TensorFlowBackend::start(const tf::GraphDef& graph, const BackendOptions& options) {
  tf::Session* session = nullptr;
  absl::Status status = tf::NewSession(session_options(options), &session);
  session_.reset(session);
  if (!status.ok()) return failure("no session", status);
  if (Status found = check_device(*session_, options); !found.ok()) return found;
  status = session_->Create(graph);
  if (!status.ok()) return failure("the graph is refused", status);
  status = session_->MakeCallable(callable_options(options), &callable_);
  if (!status.ok()) return failure("the graph cannot be prepared", status);
  return {};
}

const std::vector<tf::Tensor>& TensorFlowBackend::input(std::size_t count) {
  constexpr std::size_t kKept = 4;
  for (const std::vector<tf::Tensor>& kept : inputs_) {
    if (kept[0].dim_size(0) == static_cast<std::int64_t>(count)) return kept;
  }
  if (inputs_.size() == kKept) inputs_.pop_back();
  return inputs_.emplace_back(std::vector<tf::Tensor>{tf::Tensor(tf::DT_FLOAT, shape(count))});
}

Status TensorFlowBackend::run_session(const float* patches, std::size_t count, float* const* outputs) {
  const std::vector<tf::Tensor>& feeds = input(count);
  if (!feeds[0].IsInitialized()) return {Code::kResourceExhausted, "TensorFlow: not enough memory for a batch"};
  std::memcpy(feeds[0].data(), patches, feeds[0].TotalBytes());

  std::vector<tf::Tensor> fetches;
  tf::thread::ThreadPoolOptions pools;
  pools.intra_op_threadpool = &threads_;
  const absl::Status status = session_->RunCallable(callable_, feeds, &fetches, nullptr, pools);
  if (!status.ok()) return failure("a batch failed", status);

  if (fetches.size() != outputs_.size()) return {Code::kBackendFault, "TensorFlow: a batch gave too few outputs"};
  for (std::size_t i = 0; i < fetches.size(); ++i) {
    if (Status fit = check_fetch(fetches[i], outputs_[i], count); !fit.ok()) return fit;
    std::memcpy(outputs[i], fetches[i].data(), fetches[i].TotalBytes());
  }
  return {};
}

Status TensorFlowBackend::run(const float* patches, std::size_t count, float* const* outputs) noexcept {
  try {
    if (count == 0) return {Code::kInvalidArgument, "TensorFlow: expected at least one patch, got none"};
    return run_session(patches, count, outputs);
  } catch (const std::exception& error) {
    return {Code::kBackendFault, std::string("TensorFlow: ") + error.what()};
  } catch (...) {
    return {Code::kBackendFault, "TensorFlow: unknown exception"};
  }
}

Status create_checked(const BackendOptions& options, Backend** backend) {
  const QuietLog quiet;
  // float32 is what bundles are proven in; a GPU would otherwise round factors to 10 bits.
  tsl::enable_tensor_float_32_execution(false);
  if (Status status = check_version(); !status.ok()) return status;
  if (options.precision != Precision::kFloat32) {
    return {Code::kUnsupported, std::string("TensorFlow: expected precision float32, got ") +
                                    name_of(options.precision) + "; the runtime openvino computes in it"};
  }
  tf::GraphDef graph;
  if (Status status = parse(options, graph); !status.ok()) return status;
  if (Status status = check_graph(graph, options); !status.ok()) return status;
  // A graph that rounds is run as it says, in float32: what a runtime that multiplies integers is compared with.
  std::size_t roundings = 0;
  if (Status status = check_quantisation(options.model, options.model_size, roundings); !status.ok()) return status;
  auto created = std::make_unique<TensorFlowBackend>(options);
  if (Status status = created->start(graph, options); !status.ok()) return status;
  *backend = created.release();
  return {};
}

Status create(const BackendOptions& options, Backend** backend) noexcept {
  try {
    return create_checked(options, backend);
  } catch (const std::exception& error) {
    return {Code::kBackendFault, std::string("TensorFlow: ") + error.what()};
  } catch (...) {
    return {Code::kBackendFault, "TensorFlow: unknown exception"};
  }
}

}  // namespace
}  // namespace vialsight

extern "C" __attribute__((visibility("default"))) const vialsight::BackendEntry* vialsight_backend_entry() noexcept {
  static const vialsight::BackendEntry kEntry = {vialsight::kBackendAbi, "tensorflow", TF_Version(), vialsight::create};
  return &kEntry;
}
