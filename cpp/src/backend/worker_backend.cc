#include "backend/worker_backend.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <functional>
#include <utility>

#include "backend/backend_loader.h"
#include "base/scheduling.h"
#include "vialsight/clock.h"

namespace vialsight {
namespace {

Result<std::filesystem::path> find_program(const std::filesystem::path& program) {
  return program.empty() ? beside_library(kWorkerProgram) : Result(program);
}

std::vector<std::string> arguments_of(const WorkerRequirements& requirements, const std::filesystem::path& module) {
  const BackendOptions& backend = requirements.backend;
  const std::vector<int>& cpus = requirements.scheduling.cpus;
  return {std::to_string(kWorkerProtocol),
          module.string(),
          backend.input_name,
          backend.output_name,
          std::to_string(backend.patch_size),
          std::to_string(backend.threads),
          std::to_string(requirements.scheduling.priority),
          cpus.empty() ? "-" : text_of_cpus(cpus),
          requirements.scheduling.lock_memory ? "1" : "0"};
}

// Where `pointer` lies in `memory`, when `size` floats from it on do.
template <typename Float>
std::optional<std::size_t> offset_in(std::span<float> memory, Float* pointer, std::size_t size) {
  const std::less_equal<const float*> not_after;
  const float* first = memory.data();
  const float* last = first + memory.size();
  if (!not_after(first, pointer) || !not_after(pointer, last)) return std::nullopt;
  const auto offset = static_cast<std::size_t>(pointer - first);
  return size <= memory.size() - offset ? std::optional(offset) : std::nullopt;
}

// Runs `call` when it is its turn; what it throws becomes a Status, whose short text needs no memory.
template <typename Call>
Status in_turn(std::mutex& mutex, Call call) noexcept {
  try {
    const std::lock_guard lock(mutex);
    return call();
  } catch (const std::exception&) {
    return {Code::kResourceExhausted, "worker: memory"};
  }
}

}  // namespace

Result<std::unique_ptr<WorkerBackend>> WorkerBackend::create(const WorkerRequirements& requirements) {
  const Result<std::filesystem::path> module = find_module(requirements.module);
  if (!module.ok()) return module.status();
  const Result<std::filesystem::path> program = find_program(requirements.options.program);
  if (!program.ok()) return program.status();

  const auto edge = static_cast<std::size_t>(requirements.backend.patch_size);
  const std::size_t strips = 2 * requirements.patches_per_strip * edge * edge;
  const std::size_t bytes = (strips + requirements.patches_per_batch * edge * edge) * sizeof(float);
  Result<SharedMemory> inputs = SharedMemory::create("vialsight-patches", bytes, false);
  if (!inputs.ok()) return inputs.status();
  Result<SharedMemory> reconstructions = SharedMemory::create("vialsight-reconstructions", bytes, true);
  if (!reconstructions.ok()) return reconstructions.status();
  Result<SharedMemory> model = SharedMemory::create("vialsight-model", requirements.backend.model_size, false);
  if (!model.ok()) return model.status();
  std::memcpy(model.value().data(), requirements.backend.model, requirements.backend.model_size);

  Descriptor cancelled(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (cancelled.number() < 0) return Status(Code::kResourceExhausted, "worker: no descriptors");
  std::unique_ptr<WorkerBackend> backend(new WorkerBackend(
      {program.value(), arguments_of(requirements, std::filesystem::absolute(module.value())), requirements.options,
       edge * edge, strips, requirements.patches_per_batch},
      {std::move(inputs).value(), std::move(reconstructions).value(), std::move(model).value()}, std::move(cancelled)));
  if (Status status = backend->restart(); !status.ok()) return status;
  return backend;
}

WorkerBackend::WorkerBackend(Launch launch, Memories memories, Descriptor cancelled)
    : launch_(std::move(launch)), memories_(std::move(memories)), cancelled_(std::move(cancelled)) {}

PatchMemory WorkerBackend::memory() noexcept {
  return {memories_.inputs.floats().first(launch_.strips_floats),
          memories_.reconstructions.floats().first(launch_.strips_floats)};
}

void WorkerBackend::cancel() noexcept {
  const std::uint64_t one = 1;
  (void)!::write(cancelled_.number(), &one, sizeof one);
}

Status WorkerBackend::restart() noexcept {
  return in_turn(mutex_, [&] { return start(); });
}

Status WorkerBackend::start() {
  pid_ = 0;
  process_.reset();
  Result<WorkerProcess> process = WorkerProcess::start(
      launch_.program, launch_.arguments,
      {memories_.inputs.descriptor(), memories_.reconstructions.descriptor(), memories_.model.descriptor()});
  if (!process.ok()) return process.status();
  process_.emplace(std::move(process).value());
  pid_ = process_->pid();
  sequence_ = 0;
  Status status = wait_for_reply(0, launch_.options.start_timeout);
  if (!status.ok() && process_.has_value()) (void)lose("");
  return status;
}

Status WorkerBackend::check() noexcept {
  return in_turn(mutex_, [&] { return exchange({}, launch_.options.batch_timeout); });
}

Status WorkerBackend::run(const float* patches, std::size_t count, float* reconstructions) noexcept {
  return in_turn(mutex_, [&]() -> Status {
    for (std::size_t done = 0; done < count;) {
      const std::size_t portion = std::min(count - done, launch_.batch_patches);
      Status status = run_portion(patches + done * launch_.pixels, portion, reconstructions + done * launch_.pixels);
      if (!status.ok()) return status;
      done += portion;
    }
    return {};
  });
}

Status WorkerBackend::run_portion(const float* patches, std::size_t count, float* reconstructions) {
  const std::size_t floats = count * launch_.pixels;
  const std::optional<std::size_t> input = offset_in(memories_.inputs.floats(), patches, floats);
  const std::optional<std::size_t> output = offset_in(memories_.reconstructions.floats(), reconstructions, floats);
  if (!input.has_value()) std::copy_n(patches, floats, memories_.inputs.floats().data() + launch_.strips_floats);
  WorkerRequest request;
  request.input = input.value_or(launch_.strips_floats);
  request.reconstruction = output.value_or(launch_.strips_floats);
  request.count = count;
  Status status = exchange(request, launch_.options.batch_timeout);
  if (status.ok() && !output.has_value()) {
    std::copy_n(memories_.reconstructions.floats().data() + launch_.strips_floats, floats, reconstructions);
  }
  return status;
}

Status WorkerBackend::exchange(WorkerRequest request, std::chrono::milliseconds timeout) {
  if (!process_.has_value()) return {Code::kBackendFault, "worker: not running"};
  request.sequence = ++sequence_;
  // MSG_NOSIGNAL: a dead worker is an error of this call, not a SIGPIPE of the control program.
  if (::send(process_->socket(), &request, sizeof request, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof request) {
    return lose("died");
  }
  return wait_for_reply(request.sequence, timeout);
}

Status WorkerBackend::wait_for_reply(std::uint64_t sequence, std::chrono::milliseconds timeout) {
  const Clock::time_point until = Clock::now() + timeout;
  for (;;) {
    std::array<pollfd, 2> waiting = {pollfd{process_->socket(), POLLIN, 0}, pollfd{cancelled_.number(), POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    const int ready = ::poll(waiting.data(), waiting.size(), static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (waiting[1].revents != 0) return lose("stopped: the Inspector is being destroyed");
    if (ready == 0) return lose("did not answer within " + std::to_string(timeout.count()) + " ms");
    return receive(sequence);
  }
}

Status WorkerBackend::receive(std::uint64_t sequence) {
  WorkerReply reply;
  const ssize_t size = ::recv(process_->socket(), &reply, sizeof reply, MSG_DONTWAIT);
  if (size <= 0) return lose("died");
  if (size != sizeof reply || reply.sequence != sequence) return lose("answered what was not asked");
  if (reply.code == static_cast<std::uint32_t>(Code::kOk)) return {};
  reply.text.back() = '\0';
  const bool known = reply.code <= static_cast<std::uint32_t>(Code::kPermissionDenied);
  return {known ? static_cast<Code>(reply.code) : Code::kBackendFault, reply.text.data()};
}

// After this the process is gone.
Status WorkerBackend::lose(const std::string& what) {
  const std::string number = std::to_string(process_->pid());
  const std::string ending = process_->end();
  process_.reset();
  pid_ = 0;
  return {Code::kBackendFault, "worker " + number + ": " + what + " (" + ending + ")"};
}

}  // namespace vialsight
