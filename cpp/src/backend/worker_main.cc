// vialsight-worker: runs the inference library for a control program that must survive it (Isolation::kWorker).
//
// Started by libvialsight.so only, see worker_protocol.h. It ends when the control program does, also in the middle of
// a batch or hung in one: a thread of its own waits for the end of the socket, or of that program.
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>
#include <system_error>
#include <thread>

#include "backend/backend_loader.h"
#include "backend/worker_memory.h"
#include "backend/worker_protocol.h"
#include "base/kept_stderr.h"
#include "base/scheduling.h"

namespace vialsight {
namespace {

constexpr int kExitUsage = 2;

struct Arguments {
  std::filesystem::path module;
  BackendOptions backend;
  Scheduling scheduling;
};

template <typename Number>
bool parse(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

template <typename Number>
bool parse_list(std::string_view text, std::vector<Number>& numbers) {
  if (text == "-") return true;
  for (;;) {
    const std::size_t comma = text.find(',');
    if (!parse(text.substr(0, comma), numbers.emplace_back())) return false;
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

// "height,width,role,name"
bool parse_output(std::string_view text, OutputSpec& output) {
  int role = 0;
  for (int* number : {&output.height, &output.width, &role}) {
    const std::size_t comma = text.find(',');
    if (comma == std::string_view::npos || !parse(text.substr(0, comma), *number)) return false;
    text.remove_prefix(comma + 1);
  }
  output.role = static_cast<OutputRole>(role);
  output.name = text;
  return output.height > 0 && output.width > 0 && (role == 0 || role == 1);
}

bool parse_precision(std::string_view text, Precision& precision) {
  int number = 0;
  if (!parse(text, number)) return false;
  const auto* found = std::find(std::begin(kPrecisions), std::end(kPrecisions), static_cast<Precision>(number));
  if (found == std::end(kPrecisions)) return false;
  precision = *found;
  return true;
}

bool parse(int count, char** texts, Arguments& arguments) {
  int protocol = 0;
  int lock_memory = 0;
  if (count <= kArgumentOutputs || !parse(texts[kArgumentProtocol], protocol) || protocol != kWorkerProtocol)
    return false;
  arguments.module = texts[kArgumentModule];
  arguments.backend.input_name = texts[kArgumentInput];
  arguments.backend.device = texts[kArgumentDevice];
  for (int i = kArgumentOutputs; i < count; ++i) {
    if (!parse_output(texts[i], arguments.backend.outputs.emplace_back())) return false;
  }
  const bool parsed = parse(texts[kArgumentPatchSize], arguments.backend.patch_size) &&
                      arguments.backend.patch_size > 0 && parse(texts[kArgumentThreads], arguments.backend.threads) &&
                      parse_precision(texts[kArgumentPrecision], arguments.backend.precision) &&
                      parse_list(texts[kArgumentBatches], arguments.backend.batches) &&
                      parse(texts[kArgumentPriority], arguments.scheduling.priority) &&
                      parse_list(texts[kArgumentCpus], arguments.scheduling.cpus) &&
                      parse(texts[kArgumentLockMemory], lock_memory);
  arguments.scheduling.lock_memory = lock_memory != 0;
  return parsed;
}

// Nothing of a batch is worth keeping when nobody waits for it. The socket alone does not tell: what the control
// program forked has a copy of its end, and may live on. Without pidfd_open, which poll then passes over, the socket
// has to do.
void exit_with_control_program() {
  const int program = static_cast<int>(::syscall(SYS_pidfd_open, ::getppid(), 0));
  std::array<pollfd, 2> ends = {pollfd{kDescriptorSocket, POLLRDHUP, 0}, pollfd{program, POLLIN, 0}};
  while (::poll(ends.data(), ends.size(), -1) < 0 && errno == EINTR) {
  }
  ::_exit(0);
}

void reply(std::uint64_t sequence, const Status& status) {
  WorkerReply answer;
  answer.sequence = sequence;
  answer.code = static_cast<std::uint32_t>(status.code());
  const std::size_t size = std::min(status.message().size(), answer.text.size() - 1);
  std::memcpy(answer.text.data(), status.message().data(), size);
  (void)::send(kDescriptorSocket, &answer, sizeof answer, MSG_NOSIGNAL);
}

// Notes of the inference library are no news to whoever reads the control program's stderr.
bool wants_notes() {
  const char* level = std::getenv("TF_CPP_MIN_LOG_LEVEL");  // NOLINT(concurrency-mt-unsafe): nobody sets it here
  return level != nullptr && (std::string_view(level) == "0" || std::string_view(level) == "1");
}

Result<std::unique_ptr<Backend>> load_quietly(const std::filesystem::path& module, const BackendOptions& options) {
  if (wants_notes()) return load_backend(module, options);
  KeptStderr kept;
  Result<std::unique_ptr<Backend>> backend = load_backend(module, options);
  kept.end(backend.ok() ? KeptStderr::Show::kAllButNotes : KeptStderr::Show::kEverything);
  return backend;
}

class Server {
 public:
  static Result<Server> create(const Arguments& arguments) {
    if (Status status = apply_scheduling(arguments.scheduling); !status.ok()) return status;
    Result<SharedMemory> inputs = SharedMemory::map(kDescriptorInputs, false);
    if (!inputs.ok()) return inputs.status();
    Result<SharedMemory> outputs = SharedMemory::map(kDescriptorOutputs, true);
    if (!outputs.ok()) return outputs.status();
    const std::size_t patches = inputs.value().floats().size() / pixels_of(arguments.backend);
    if (floats_of(arguments.backend.outputs, patches) != outputs.value().floats().size()) {
      return Status(Code::kInvalidArgument, "worker: the shared memories do not fit each other");
    }
    const Result<SharedMemory> model = SharedMemory::map(kDescriptorModel, false);
    if (!model.ok()) return model.status();
    BackendOptions options = arguments.backend;
    options.model = model.value().data();
    options.model_size = model.value().size();
    Result<std::unique_ptr<Backend>> backend = load_quietly(arguments.module, options);
    if (!backend.ok()) return backend.status();
    return Server(std::move(inputs).value(), std::move(outputs).value(), std::move(backend).value(), options);
  }

  // Until the control program closes the socket.
  void serve() {
    WorkerRequest request;
    while (::recv(kDescriptorSocket, &request, sizeof request, 0) == sizeof request) {
      reply(request.sequence, request.count == 0 ? Status() : run(request));
    }
  }

 private:
  Server(SharedMemory inputs, SharedMemory outputs, std::unique_ptr<Backend> backend, const BackendOptions& options)
      : inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        backend_(std::move(backend)),
        specs_(options.outputs),
        pixels_(pixels_of(options)),
        patches_(inputs_.floats().size() / pixels_),
        blocks_(blocks_of(specs_, patches_, outputs_.floats())),
        targets_(blocks_.size()) {}

  static std::size_t pixels_of(const BackendOptions& options) {
    return static_cast<std::size_t>(options.patch_size) * static_cast<std::size_t>(options.patch_size);
  }
  [[nodiscard]] bool fits(std::uint64_t first, std::uint64_t count) const noexcept {
    return first <= patches_ && count <= patches_ - first;
  }
  Status run(const WorkerRequest& request) {
    if (!fits(request.input, request.count) || !fits(request.output, request.count)) {
      return {Code::kInvalidArgument, "worker: a request reaches beyond the shared memory"};
    }
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      targets_[i] = blocks_[i].data() + request.output * specs_[i].pixels();
    }
    return backend_->run(inputs_.floats().data() + request.input * pixels_, request.count, targets_.data());
  }

  SharedMemory inputs_;
  SharedMemory outputs_;
  std::unique_ptr<Backend> backend_;
  std::vector<OutputSpec> specs_;
  std::size_t pixels_;   // of an input
  std::size_t patches_;  // that either memory holds
  std::vector<std::span<float>> blocks_;
  std::vector<float*> targets_;
};

int serve(const Arguments& arguments) {
  std::thread(exit_with_control_program).detach();
  Result<Server> server = Server::create(arguments);
  reply(0, server.status());
  if (!server.ok()) return 1;
  server.value().serve();
  return 0;
}

}  // namespace
}  // namespace vialsight

int main(int count, char** texts) {
  vialsight::Arguments arguments;
  if (vialsight::parse(count, texts, arguments)) ::_exit(vialsight::serve(arguments));
  std::fprintf(stderr, "vialsight-worker is started by libvialsight.so of the same build, not by hand\n");
  return vialsight::kExitUsage;
}
