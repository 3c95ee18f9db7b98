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
#include <limits>
#include <utility>

#include "backend/backend_loader.h"
#include "base/messages.h"
#include "base/scheduling.h"
#include "vialsight/clock.h"

namespace vialsight {
namespace {

Result<std::filesystem::path> find_program(const std::filesystem::path& program) {
  return program.empty() ? beside_library(kWorkerProgram) : Result(program);
}

std::string text_of_output(const OutputSpec& output) {
  return std::to_string(output.height) + "," + std::to_string(output.width) + "," +
         std::to_string(static_cast<int>(output.role)) + "," + output.name;
}

// "20,4"; "-" where there is nothing.
template <typename Number>
std::string text_of_list(const std::vector<Number>& numbers) {
  return numbers.empty() ? "-" : joined(numbers);
}

std::vector<std::string> arguments_of(const WorkerRequirements& requirements, const std::filesystem::path& module) {
  const BackendOptions& backend = requirements.backend;
  std::vector<std::string> result = {std::to_string(kWorkerProtocol),
                                     module.string(),
                                     backend.input_name,
                                     std::to_string(backend.patch_size),
                                     std::to_string(backend.threads),
                                     std::to_string(static_cast<int>(backend.precision)),
                                     text_of_list(backend.batches),
                                     backend.device,
                                     std::to_string(requirements.scheduling.priority),
                                     text_of_list(requirements.scheduling.cpus),
                                     requirements.scheduling.lock_memory ? "1" : "0"};
  for (const OutputSpec& output : backend.outputs) result.push_back(text_of_output(output));
  return result;
}

// The first of `count` patches of `pixels` floats in `memory` that lie at `pointer`, when they do.
std::optional<std::size_t> place_in(std::span<const float> memory, const float* pointer, std::size_t count,
                                    std::size_t pixels) {
  const std::less_equal<const float*> not_after;
  const float* first = memory.data();
  const float* last = first + memory.size();
  if (!not_after(first, pointer) || !not_after(pointer, last)) return std::nullopt;
  const auto offset = static_cast<std::size_t>(pointer - first);
  const bool whole = offset % pixels == 0 && count <= (memory.size() - offset) / pixels;
  return whole ? std::optional(offset / pixels) : std::nullopt;
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
  const Result<std::filesystem::path> program = find_program(requirements.options.program);
  if (!program.ok()) return program.status();

  const auto edge = static_cast<std::size_t>(requirements.backend.patch_size);
  const std::size_t strips = 2 * requirements.patches_per_strip;
  const std::size_t patches = strips + requirements.patches_per_batch;
  Result<SharedMemory> inputs = SharedMemory::create("vialsight-patches", patches * edge * edge * sizeof(float), false);
  if (!inputs.ok()) return inputs.status();
  const std::size_t output_bytes = floats_of(requirements.backend.outputs, patches) * sizeof(float);
  Result<SharedMemory> outputs = SharedMemory::create("vialsight-outputs", output_bytes, true);
  if (!outputs.ok()) return outputs.status();
  Result<SharedMemory> model = SharedMemory::create("vialsight-model", requirements.backend.model_size, false);
  if (!model.ok()) return model.status();
  std::memcpy(model.value().data(), requirements.backend.model, requirements.backend.model_size);

  FileDescriptor cancelled(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!cancelled.valid()) return Status(Code::kResourceExhausted, "worker: no descriptors");
  std::unique_ptr<WorkerBackend> backend(new WorkerBackend(
      {program.value(), arguments_of(requirements, std::filesystem::absolute(requirements.module)),
       requirements.options, edge * edge, requirements.backend.outputs, strips, requirements.patches_per_batch},
      {std::move(inputs).value(), std::move(outputs).value(), std::move(model).value()}, std::move(cancelled)));
  if (Status status = backend->restart(); !status.ok()) return status;
  return backend;
}

WorkerBackend::WorkerBackend(Launch launch, Memories memories, FileDescriptor cancelled)
    : launch_(std::move(launch)),
      memories_(std::move(memories)),
      blocks_(blocks_of(launch_.outputs, launch_.strips_patches + launch_.batch_patches, memories_.outputs.floats())),
      targets_(blocks_.size()),
      cancelled_(std::move(cancelled)) {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    strips_.push_back(blocks_[i].first(launch_.strips_patches * launch_.outputs[i].pixels()));
  }
}

PatchMemory WorkerBackend::memory() noexcept {
  return {memories_.inputs.floats().first(launch_.strips_patches * launch_.pixels), strips_};
}

void WorkerBackend::cancel() noexcept {
  const std::uint64_t one = 1;
  (void)!::write(cancelled_.get(), &one, sizeof one);
}

Status WorkerBackend::restart() noexcept {
  return in_turn(mutex_, [&] { return start(); });
}

Status WorkerBackend::start() {
  pid_ = 0;
  process_.reset();
  Result<WorkerProcess> process = WorkerProcess::start(
      launch_.program, launch_.arguments,
      {memories_.inputs.descriptor(), memories_.outputs.descriptor(), memories_.model.descriptor()});
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

Status WorkerBackend::run(const float* patches, std::size_t count, float* const* outputs) noexcept {
  return in_turn(mutex_, [&]() -> Status {
    for (std::size_t done = 0; done < count;) {
      const std::size_t portion = std::min(count - done, launch_.batch_patches);
      for (std::size_t i = 0; i < targets_.size(); ++i) targets_[i] = outputs[i] + done * launch_.outputs[i].pixels();
      Status status = run_portion(patches + done * launch_.pixels, portion);
      if (!status.ok()) return status;
      done += portion;
    }
    return {};
  });
}

// The first patch of targets_ in the shared memory, when all lie there and at the same one.
std::optional<std::size_t> WorkerBackend::place_of_targets(std::size_t count) const {
  std::optional<std::size_t> result;
  for (std::size_t i = 0; i < targets_.size(); ++i) {
    const auto place = place_in(blocks_[i], targets_[i], count, launch_.outputs[i].pixels());
    if (!place.has_value() || (i > 0 && place != result)) return std::nullopt;
    result = place;
  }
  return result;
}

// What the worker leaves out must not be an earlier batch's.
void WorkerBackend::clear_batch() {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const std::span<float> batch = blocks_[i].subspan(strips_[i].size());
    std::fill(batch.begin(), batch.end(), std::numeric_limits<float>::quiet_NaN());
  }
}

void WorkerBackend::copy_batch(std::size_t count) {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    std::copy_n(blocks_[i].data() + strips_[i].size(), count * launch_.outputs[i].pixels(), targets_[i]);
  }
}

Status WorkerBackend::run_portion(const float* patches, std::size_t count) {
  const std::span<float> inputs = memories_.inputs.floats();
  const std::optional<std::size_t> input = place_in(inputs, patches, count, launch_.pixels);
  const std::optional<std::size_t> output = place_of_targets(count);
  if (!input.has_value()) {
    std::copy_n(patches, count * launch_.pixels, inputs.data() + launch_.strips_patches * launch_.pixels);
  }
  if (!output.has_value()) clear_batch();
  WorkerRequest request;
  request.input = input.value_or(launch_.strips_patches);
  request.output = output.value_or(launch_.strips_patches);
  request.count = count;
  Status status = exchange(request, launch_.options.batch_timeout);
  if (status.ok() && !output.has_value()) copy_batch(count);
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
    std::array<pollfd, 2> waiting = {pollfd{process_->socket(), POLLIN, 0}, pollfd{cancelled_.get(), POLLIN, 0}};
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
