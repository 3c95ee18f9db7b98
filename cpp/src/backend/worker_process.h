// WorkerProcess: one running vialsight-worker, and the end of the socket to it. Destroyed, it is dead and reaped.
#pragma once

#include <sys/types.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "backend/worker_memory.h"
#include "backend/worker_protocol.h"
#include "vialsight/status.h"

namespace vialsight {

class WorkerProcess {
 public:
  // `arguments`: those of WorkerArgument, from the protocol on; `descriptors`: inputs, outputs, model.
  // kNotFound: no such program; kResourceExhausted: no process or descriptors.
  [[nodiscard]] static Result<WorkerProcess> start(const std::filesystem::path& program,
                                                   const std::vector<std::string>& arguments,
                                                   const std::array<int, 3>& descriptors);
  WorkerProcess(WorkerProcess&& other) noexcept;
  WorkerProcess& operator=(WorkerProcess&&) = delete;
  ~WorkerProcess();

  [[nodiscard]] int socket() const noexcept { return socket_.get(); }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  // Kills it, waits until it is gone, and says how it ended ("killed by signal 6 (Aborted)"); by itself, if it had.
  std::string end();

 private:
  WorkerProcess(pid_t pid, FileDescriptor socket) noexcept;

  pid_t pid_;              // 0: reaped
  FileDescriptor handle_;  // pidfd: a signal cannot reach another process that got the same number
  FileDescriptor socket_;
};

}  // namespace vialsight
