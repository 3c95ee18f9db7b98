#include "backend/worker_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace vialsight {
namespace {

std::string text_of(int error) { return std::generic_category().message(error); }

// posix_spawn's attributes and file actions, destroyed with it.
class SpawnSettings {
 public:
  SpawnSettings() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    // A process group of its own: an interrupt typed at the control program is the control program's to handle.
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  void give(int descriptor, int as) { ::posix_spawn_file_actions_adddup2(&actions_, descriptor, as); }
  void close_from(int first) {
#if __GLIBC_PREREQ(2, 34)
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, first);
#else
    (void)first;  // descriptors of the control program's that are not close-on-exec stay open in the worker
#endif
  }
  [[nodiscard]] int spawn(pid_t& pid, const char* program, char* const* arguments) const {
    return ::posix_spawn(&pid, program, &actions_, &attributes_, arguments, environ);
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

// A copy above the numbers that the worker expects, so that giving one cannot overwrite another.
FileDescriptor above_worker_descriptors(int descriptor) {
  return FileDescriptor(::fcntl(descriptor, F_DUPFD_CLOEXEC, static_cast<int>(kDescriptorEnd)));
}

Status no_descriptors() { return {Code::kResourceExhausted, "worker: no descriptors: " + text_of(errno)}; }

std::string ending(int status) {
  if (WIFEXITED(status)) return "ended with status " + std::to_string(WEXITSTATUS(status));
  const char* name = ::sigdescr_np(WTERMSIG(status));
  return "killed by signal " + std::to_string(WTERMSIG(status)) + " (" + (name != nullptr ? name : "unknown") + ")";
}

}  // namespace

Result<WorkerProcess> WorkerProcess::start(const std::filesystem::path& program,
                                           const std::vector<std::string>& arguments,
                                           const std::array<int, 3>& descriptors) {
  std::array<int, 2> ends = {};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return no_descriptors();
  FileDescriptor ours(ends[0]);
  const FileDescriptor theirs(ends[1]);

  SpawnSettings settings;
  std::array<FileDescriptor, 4> given = {
      above_worker_descriptors(theirs.get()), above_worker_descriptors(descriptors[0]),
      above_worker_descriptors(descriptors[1]), above_worker_descriptors(descriptors[2])};
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (!given[i].valid()) return no_descriptors();
    settings.give(given[i].get(), kDescriptorSocket + static_cast<int>(i));
  }
  settings.close_from(kDescriptorEnd);

  std::string name = program.string();
  std::vector<std::string> texts = arguments;
  std::vector<char*> pointers = {name.data()};
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  pid_t pid = 0;
  const int error = settings.spawn(pid, name.c_str(), pointers.data());
  if (error == 0) return WorkerProcess(pid, std::move(ours));
  const Code code = error == ENOENT || error == EACCES ? Code::kNotFound : Code::kResourceExhausted;
  return Status(code, "worker " + name + ": cannot be started: " + text_of(error) +
                          "; reinstall vialsight, or name the program in WorkerOptions::program");
}

WorkerProcess::WorkerProcess(pid_t pid, FileDescriptor socket) noexcept
    : pid_(pid), handle_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))), socket_(std::move(socket)) {}

WorkerProcess::WorkerProcess(WorkerProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), handle_(std::move(other.handle_)), socket_(std::move(other.socket_)) {}

WorkerProcess::~WorkerProcess() { (void)end(); }

std::string WorkerProcess::end() {
  if (pid_ == 0) return "ended before";
  if (handle_.valid()) {
    ::syscall(SYS_pidfd_send_signal, handle_.get(), SIGKILL, nullptr, 0);
  } else {
    ::kill(pid_, SIGKILL);
  }
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(pid_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  pid_ = 0;
  // A control program that ignores SIGCHLD, or waits for any child, has taken the status; waitpid has waited for the
  // end.
  return reaped < 0 ? "ended" : ending(status);
}

}  // namespace vialsight
