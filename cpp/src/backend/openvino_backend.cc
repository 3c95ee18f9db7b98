// The backend on OpenVINO's CPU plugin; with openvino_parts the only source that includes OpenVINO. C++17,
// as its headers are.
//
// The same model.pb as TensorFlow's, read by OpenVINO's own reader of TensorFlow graphs. A network is compiled for one
// batch size: with an open one OpenVINO takes half as long again. The sizes of the line are compiled at warm-up.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/graph_operations.h"
#include "backend/openvino_parts.h"
#include "backend/quantisation.h"
#include "base/cores.h"
#include "openvino/frontend/manager.hpp"
#include "openvino/op/parameter.hpp"
#include "openvino/op/result.hpp"
#include "openvino/openvino.hpp"

namespace vialsight {
namespace {

constexpr const char* kDevice = "CPU";

Status failure(const std::string& what, const std::exception& error) {
  return {Code::kBackendFault, "OpenVINO: " + what + ": " + error.what()};
}

template <typename Call>
Status without_exceptions(const char* what, Call call) noexcept {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return {Code::kResourceExhausted, "OpenVINO: memory"};
  } catch (const std::exception& error) {
    return failure(what, error);
  } catch (...) {
    return {Code::kBackendFault, "OpenVINO: unknown exception"};
  }
}

// --- The graph ------------------------------------------------------------------------------------------------------

// The reader takes a path, and the model is in memory, checked: a file without a name, under the name that it has as a
// descriptor of this process.
class ModelFile {
 public:
  ModelFile() : descriptor_(::memfd_create("vialsight-model.pb", MFD_CLOEXEC)) {}
  ModelFile(const ModelFile&) = delete;
  ModelFile& operator=(const ModelFile&) = delete;
  ~ModelFile() {
    if (descriptor_ >= 0) (void)::close(descriptor_);
  }

  [[nodiscard]] bool write(const void* bytes, std::size_t size) const noexcept {
    const char* from = static_cast<const char*>(bytes);
    while (descriptor_ >= 0 && size > 0) {
      const ssize_t done = ::write(descriptor_, from, size);
      if (done <= 0) return false;
      from += done;
      size -= static_cast<std::size_t>(done);
    }
    return descriptor_ >= 0;
  }
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

std::string edge_of(const BackendOptions& options) { return std::to_string(options.patch_size); }

using Graph = ov::frontend::InputModel;

Status check_input(const Graph& graph, const BackendOptions& options) {
  const std::string what = "model.pb: input node \"" + options.input_name + "\"";
  const ov::frontend::Place::Ptr place = graph.get_place_by_tensor_name(options.input_name + ":0");
  if (place == nullptr) return {Code::kDataCorrupt, what + " is missing"};
  const ov::PartialShape expected = {-1, options.patch_size, options.patch_size, 1};
  const bool fits = place->is_input() && graph.get_element_type(place) == ov::element::f32 &&
                    graph.get_partial_shape(place) == expected;
  if (!fits) {
    return {Code::kDataCorrupt,
            what + ": expected a float32 placeholder of shape [?," + edge_of(options) + "," + edge_of(options) + ",1]"};
  }
  if (graph.get_inputs().size() == 1) return {};
  return {Code::kDataCorrupt, what + ": expected no other placeholder, found several"};
}

Status select_outputs(Graph& graph, const BackendOptions& options) {
  std::vector<ov::frontend::Place::Ptr> places;
  for (const OutputSpec& output : options.outputs) {
    places.push_back(graph.get_place_by_tensor_name(output.name + ":0"));
    if (places.back() == nullptr) {
      return {Code::kDataCorrupt, "model.pb: output node \"" + output.name + "\" is missing"};
    }
  }
  graph.override_all_outputs(places);
  return {};
}

// The results in the order of the options. The reader leaves out what is constant.
Status order_results(const BackendOptions& options, const ov::Model& read, ov::ResultVector& results) {
  for (const OutputSpec& output : options.outputs) {
    for (const std::shared_ptr<ov::op::v0::Result>& result : read.get_results()) {
      if (result->input_value(0).get_names().count(output.name + ":0") == 0) continue;
      results.push_back(std::make_shared<ov::op::v0::Result>(result->input_value(0)));
      break;
    }
    if (results.size() == static_cast<std::size_t>(&output - options.outputs.data()) + 1) continue;
    return {Code::kDataCorrupt, "model.pb: output node \"" + output.name + "\" does not depend on the patches"};
  }
  return {};
}

Status read_model(const BackendOptions& options, std::shared_ptr<ov::Model>& model) {
  const ModelFile file;
  if (!file.write(options.model, options.model_size)) {
    return {Code::kResourceExhausted, "OpenVINO: no memory for a copy of model.pb"};
  }
  ov::frontend::FrontEndManager readers;
  const ov::frontend::FrontEnd::Ptr reader = readers.load_by_framework("tf");
  const Graph::Ptr graph = reader == nullptr ? nullptr : reader->load(file.path());
  if (graph == nullptr) return {Code::kBackendFault, "OpenVINO: its reader of TensorFlow graphs is missing"};
  if (Status status = check_input(*graph, options); !status.ok()) return status;
  if (Status status = select_outputs(*graph, options); !status.ok()) return status;
  const std::shared_ptr<ov::Model> read = reader->convert(graph);
  ov::ResultVector results;
  if (Status status = order_results(options, *read, results); !status.ok()) return status;
  model = std::make_shared<ov::Model>(results, read->get_parameters());
  return {};
}

// --- Compiled for batches -------------------------------------------------------------------------------------------

ov::AnyMap properties_of(const BackendOptions& options) {
  return {ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
          ov::inference_num_threads(threads_or_cores(options.threads)), ov::num_streams(1),
          // Which cores our threads may use is the control program's to say (Scheduling::cpus).
          ov::hint::enable_cpu_pinning(false)};
}

// Asked for bfloat16, OpenVINO computes in float32 where the CPU cannot: another network than the proven one.
Status check_precision(ov::Core& core, const BackendOptions& options) {
  if (options.precision != Precision::kBfloat16) return {};
  const std::vector<std::string> able = core.get_property(kDevice, ov::device::capabilities);
  if (std::find(able.begin(), able.end(), ov::device::capability::BF16) != able.end()) return {};
  return {Code::kUnsupported, std::string("this bundle computes in ") + name_of(options.precision) +
                                  ", which this CPU does not; optimize the original bundle for float32"};
}

// A graph that rounds is computed in integers whatever is asked for, and one that does not never is.
Status check_integers(const BackendOptions& options) {
  std::size_t roundings = 0;
  if (Status status = check_quantisation(options.model, options.model_size, roundings); !status.ok()) return status;
  if ((roundings > 0) == (options.precision == Precision::kInt8)) return {};
  const std::string what = roundings > 0 ? "rounds to integers" : "rounds to no integers";
  return {Code::kDataCorrupt, "model.pb " + what + ", and is to be computed in " + name_of(options.precision) +
                                  "; a bundle for int8 is made by: vialsight optimize --precision int8"};
}

// For one batch size.
struct Compiled {
  // One of the parts that are run one after the other.
  struct Part {
    ov::InferRequest request;
    std::vector<ov::Output<const ov::Node>> inputs;                           // that are the network's own
    std::vector<std::pair<std::size_t, ov::Output<const ov::Node>>> outputs;  // with their places in BackendOptions
  };
  std::size_t count = 0;
  std::vector<Part> parts;
};

class OpenVinoBackend final : public Backend {
 public:
  explicit OpenVinoBackend(const BackendOptions& options)
      : edge_(static_cast<std::size_t>(options.patch_size)),
        outputs_(options.outputs),
        input_name_(options.input_name + ":0"),
        precision_(options.precision),
        properties_(properties_of(options)) {}

  Status start(const BackendOptions& options);
  Status run(const float* patches, std::size_t count, float* const* outputs) noexcept override;

 private:
  Status compile(std::size_t count, Compiled& compiled);
  Status add_whole(const std::shared_ptr<ov::Model>& model, Compiled& compiled);
  Status add_parts(const Parts& parts, Compiled& compiled);
  Status add_part(const std::shared_ptr<ov::Model>& model, const std::vector<std::size_t>& results,
                  ov::element::Type precision, Compiled& compiled);
  Status find(std::size_t count, Compiled*& compiled);
  Status infer(const float* patches, std::size_t count, float* const* outputs);
  [[nodiscard]] static ov::Shape shape_of(std::size_t count, const OutputSpec& output) {
    return {count, static_cast<std::size_t>(output.height), static_cast<std::size_t>(output.width), 1};
  }

  std::size_t edge_;
  std::vector<OutputSpec> outputs_;
  std::string input_name_;
  Precision precision_;
  ov::AnyMap properties_;
  ov::Core core_;
  std::shared_ptr<ov::Model> model_;
  // By batch size. The line's are made at warm-up and never replaced.
  std::vector<std::unique_ptr<Compiled>> compiled_;
};

Status OpenVinoBackend::start(const BackendOptions& options) {
  if (!options.device.empty() && options.device != "cpu") {
    return {Code::kUnsupported, "OpenVINO: expected the device \"cpu\", got \"" + options.device +
                                    "\"; on a GPU inspect with the bundle for TensorFlow"};
  }
  if (Status status = check_precision(core_, options); !status.ok()) return status;
  if (Status status = read_model(options, model_); !status.ok()) return status;
  // Not in the first batch, which has to end in a batch's time.
  for (const std::size_t batch : options.batches) {
    Compiled* compiled = nullptr;
    if (Status status = find(batch, compiled); !status.ok()) return status;
  }
  return {};
}

Status check_output(const ov::Output<const ov::Node>& came, const OutputSpec& output, const ov::Shape& expected) {
  if (came.get_element_type() == ov::element::f32 && came.get_partial_shape() == ov::PartialShape(expected)) return {};
  return {Code::kBackendFault, "OpenVINO: output \"" + output.name + "\": expected float32 of shape " +
                                   expected.to_string() + ", got " + came.get_element_type().to_string() + " of " +
                                   came.get_partial_shape().to_string()};
}

// `results`: which of the network's outputs the first results of `model` are.
Status OpenVinoBackend::add_part(const std::shared_ptr<ov::Model>& model, const std::vector<std::size_t>& results,
                                 ov::element::Type precision, Compiled& compiled) {
  ov::AnyMap properties = properties_;
  properties.insert(ov::hint::inference_precision(precision));
  ov::CompiledModel network = core_.compile_model(model, kDevice, properties);
  Compiled::Part& part = compiled.parts.emplace_back();
  for (std::size_t i = 0; i < results.size(); ++i) {
    const OutputSpec& output = outputs_[results[i]];
    part.outputs.emplace_back(results[i], network.output(i));
    Status status = check_output(network.output(i), output, shape_of(compiled.count, output));
    if (!status.ok()) return status;
  }
  part.request = network.create_infer_request();
  return {};
}

Status OpenVinoBackend::add_whole(const std::shared_ptr<ov::Model>& model, Compiled& compiled) {
  std::vector<std::size_t> results(outputs_.size());
  std::iota(results.begin(), results.end(), std::size_t{0});
  if (Status status = add_part(model, results, ov::element::f32, compiled); !status.ok()) return status;
  compiled.parts.back().inputs = compiled.parts.back().request.get_compiled_model().inputs();
  return {};
}

Status OpenVinoBackend::add_parts(const Parts& parts, Compiled& compiled) {
  if (parts.exact != nullptr) {
    Status status = add_part(parts.exact, parts.exact_results, ov::element::f32, compiled);
    if (!status.ok()) return status;
    compiled.parts.back().inputs = compiled.parts.back().request.get_compiled_model().inputs();
  }
  if (parts.rest == nullptr) return {};
  Status status = add_part(parts.rest, parts.rest_results, ov::element::bf16, compiled);
  if (!status.ok()) return status;
  Compiled::Part& rest = compiled.parts.back();
  const std::vector<ov::Output<const ov::Node>> inputs = rest.request.get_compiled_model().inputs();
  std::size_t taken = parts.exact_results.size();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (ov::is_type<ov::op::v0::Parameter>(parts.sources[i].get_node())) {
      rest.inputs.push_back(inputs[i]);
    } else {
      rest.request.set_tensor(inputs[i], compiled.parts.front().request.get_output_tensor(taken++));
    }
  }
  return {};
}

Status OpenVinoBackend::compile(std::size_t count, Compiled& compiled) {
  const std::shared_ptr<ov::Model> model = model_->clone();
  model->reshape({{input_name_, ov::PartialShape(ov::Shape{count, edge_, edge_, 1})}});
  compiled.count = count;
  return precision_ == Precision::kBfloat16 ? add_parts(split(model), compiled) : add_whole(model, compiled);
}

Status OpenVinoBackend::find(std::size_t count, Compiled*& compiled) {
  constexpr std::size_t kKept = 4;
  for (const std::unique_ptr<Compiled>& kept : compiled_) {
    if (kept->count != count) continue;
    compiled = kept.get();
    return {};
  }
  auto made = std::make_unique<Compiled>();
  if (Status status = compile(count, *made); !status.ok()) return status;
  if (compiled_.size() == kKept) compiled_.pop_back();
  compiled = compiled_.emplace_back(std::move(made)).get();
  return {};
}

// Reads and writes the caller's memory: nothing is copied.
Status OpenVinoBackend::infer(const float* patches, std::size_t count, float* const* outputs) {
  Compiled* compiled = nullptr;
  if (Status status = find(count, compiled); !status.ok()) return status;
  // A tensor around foreign memory is not const; inputs are only read.
  auto* input = const_cast<float*>(patches);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  const ov::Tensor given(ov::element::f32, {count, edge_, edge_, 1}, input);
  for (Compiled::Part& part : compiled->parts) {
    for (const auto& place : part.inputs) part.request.set_tensor(place, given);
    for (const auto& [index, place] : part.outputs) {
      const ov::Shape shape = shape_of(count, outputs_[index]);
      part.request.set_tensor(place, ov::Tensor(ov::element::f32, shape, outputs[index]));
    }
    part.request.infer();
  }
  return {};
}

Status OpenVinoBackend::run(const float* patches, std::size_t count, float* const* outputs) noexcept {
  if (count == 0) return {Code::kInvalidArgument, "OpenVINO: expected at least one patch, got none"};
  return without_exceptions("a batch failed", [&] { return infer(patches, count, outputs); });
}

Status create(const BackendOptions& options, Backend** backend) noexcept {
  return without_exceptions("the graph is refused", [&]() -> Status {
    if (Status status = check_operations(options.model, options.model_size); !status.ok()) return status;
    if (Status status = check_integers(options); !status.ok()) return status;
    auto created = std::make_unique<OpenVinoBackend>(options);
    if (Status status = created->start(options); !status.ok()) return status;
    *backend = created.release();
    return {};
  });
}

const char* version() noexcept {
  try {
    static const std::string kVersion = ov::get_openvino_version().buildNumber;
    return kVersion.c_str();
  } catch (...) {
    return "unknown";
  }
}

}  // namespace
}  // namespace vialsight

extern "C" __attribute__((visibility("default"))) const vialsight::BackendEntry* vialsight_backend_entry() noexcept {
  static const vialsight::BackendEntry kEntry = {vialsight::kBackendAbi, "openvino", vialsight::version(),
                                                 vialsight::create};
  return &kEntry;
}
