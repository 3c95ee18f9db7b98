// vialsight-worker: runs the inference library for a control program that must survive it (Isolation::kWorker).
//
// Started by libvialsight.so only, see worker_protocol.h. It ends when the control program does, also in the middle of
// a batch or hung in one: a thread of its own waits for the end of the socket.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string_view>
#include <system_error>
#include <thread>

#include "backend/backend_loader.h"
#include "backend/worker_memory.h"
#include "backend/worker_protocol.h"
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

bool parse_cpus(std::string_view text, std::vector<int>& cpus) {
  if (text == "-") return true;
  for (;;) {
    const std::size_t comma = text.find(',');
    if (!parse(text.substr(0, comma), cpus.emplace_back())) return false;
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

bool parse(int count, char** texts, Arguments& arguments) {
  int protocol = 0;
  int lock_memory = 0;
  if (count != kArgumentCount || !parse(texts[kArgumentProtocol], protocol) || protocol != kWorkerProtocol)
    return false;
  arguments.module = texts[kArgumentModule];
  arguments.backend.input_name = texts[kArgumentInput];
  arguments.backend.output_name = texts[kArgumentOutput];
  const bool parsed = parse(texts[kArgumentPatchSize], arguments.backend.patch_size) &&
                      parse(texts[kArgumentThreads], arguments.backend.threads) &&
                      parse(texts[kArgumentPriority], arguments.scheduling.priority) &&
                      parse_cpus(texts[kArgumentCpus], arguments.scheduling.cpus) &&
                      parse(texts[kArgumentLockMemory], lock_memory);
  arguments.scheduling.lock_memory = lock_memory != 0;
  return parsed;
}

// Nothing of a batch is worth keeping when nobody waits for it.
void exit_with_control_program() {
  pollfd socket = {kDescriptorSocket, POLLRDHUP, 0};
  while (::poll(&socket, 1, -1) < 0 && errno == EINTR) {
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

class Server {
 public:
  static Result<Server> create(const Arguments& arguments) {
    if (Status status = apply_scheduling(arguments.scheduling); !status.ok()) return status;
    Result<SharedMemory> inputs = SharedMemory::map(kDescriptorInputs, false);
    if (!inputs.ok()) return inputs.status();
    Result<SharedMemory> reconstructions = SharedMemory::map(kDescriptorReconstructions, true);
    if (!reconstructions.ok()) return reconstructions.status();
    const Result<SharedMemory> model = SharedMemory::map(kDescriptorModel, false);
    if (!model.ok()) return model.status();
    BackendOptions options = arguments.backend;
    options.model = model.value().data();
    options.model_size = model.value().size();
    Result<std::unique_ptr<Backend>> backend = load_backend(arguments.module, options);
    if (!backend.ok()) return backend.status();
    return Server(std::move(inputs).value(), std::move(reconstructions).value(), std::move(backend).value(),
                  options.patch_size);
  }

  // Until the control program closes the socket.
  void serve() {
    WorkerRequest request;
    while (::recv(kDescriptorSocket, &request, sizeof request, 0) == sizeof request) {
      reply(request.sequence, request.count == 0 ? Status() : run(request));
    }
  }

 private:
  Server(SharedMemory inputs, SharedMemory reconstructions, std::unique_ptr<Backend> backend, int patch_size)
      : inputs_(std::move(inputs)),
        reconstructions_(std::move(reconstructions)),
        backend_(std::move(backend)),
        pixels_(static_cast<std::size_t>(patch_size) * static_cast<std::size_t>(patch_size)) {}

  [[nodiscard]] bool fits(std::uint64_t offset, std::uint64_t count, std::span<float> memory) const noexcept {
    return offset <= memory.size() && count <= (memory.size() - offset) / pixels_;
  }
  Status run(const WorkerRequest& request) {
    if (!fits(request.input, request.count, inputs_.floats()) ||
        !fits(request.reconstruction, request.count, reconstructions_.floats())) {
      return {Code::kInvalidArgument, "worker: a request reaches beyond the shared memory"};
    }
    return backend_->run(inputs_.floats().data() + request.input, request.count,
                         reconstructions_.floats().data() + request.reconstruction);
  }

  SharedMemory inputs_;
  SharedMemory reconstructions_;
  std::unique_ptr<Backend> backend_;
  std::size_t pixels_;
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
