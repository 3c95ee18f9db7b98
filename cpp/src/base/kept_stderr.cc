#include "base/kept_stderr.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <utility>

namespace vialsight {
namespace {

// SIGTERM: whoever ends a process that hangs while loading wants to know what it said.
constexpr std::array<int, 6> kEndings = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTERM};

// What a signal handler must reach; signal handlers may use lock-free atomics only.
std::atomic<int> kept{-1};      // memory file that descriptor 2 leads to meanwhile
std::atomic<int> original{-1};  // where descriptor 2 led to before
std::atomic<bool> busy{false};
std::array<struct sigaction, kEndings.size()> actions_before = {};
static_assert(std::atomic<int>::is_always_lock_free);

// Async-signal-safe.
void write_all(int descriptor, const char* text, std::size_t size) noexcept {
  while (size > 0) {
    const ssize_t written = ::write(descriptor, text, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text += written;
    size -= static_cast<std::size_t>(written);
  }
}

// Async-signal-safe: gives descriptor 2 back, and whatever was kept to it.
void show_everything() noexcept {
  const int from = kept.exchange(-1);
  if (from < 0) return;
  const int to = original.load();
  ::dup2(to, STDERR_FILENO);
  std::array<char, 4096> buffer;
  off_t place = 0;
  for (;;) {
    const ssize_t size = ::pread(from, buffer.data(), buffer.size(), place);
    if (size <= 0) return;
    write_all(to, buffer.data(), static_cast<std::size_t>(size));
    place += size;
  }
}

void on_ending(int number) {
  const int error = errno;
  show_everything();
  // Whoever handled it before does so now: a fault repeats itself, the rest is raised again.
  for (std::size_t i = 0; i < kEndings.size(); ++i) {
    if (kEndings[i] == number) ::sigaction(number, &actions_before[i], nullptr);
  }
  ::raise(number);
  errno = error;
}

void handle_endings() noexcept {
  struct sigaction action = {};
  action.sa_handler = on_ending;
  action.sa_flags = SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kEndings.size(); ++i) ::sigaction(kEndings[i], &action, &actions_before[i]);
}

// Unless what was loaded has installed handlers of its own.
void handle_endings_as_before() noexcept {
  for (std::size_t i = 0; i < kEndings.size(); ++i) {
    struct sigaction now = {};
    ::sigaction(kEndings[i], nullptr, &now);
    if (now.sa_handler == on_ending) ::sigaction(kEndings[i], &actions_before[i], nullptr);
  }
}

std::string content_of(int file) {
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t size = ::pread(file, buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    if (size <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
}

bool is_digit(char character) { return character >= '0' && character <= '9'; }

// Severity of a line such as "I0000 00:00:1795939935.250529   14086 port.cc:153] …", or 0.
char severity_of(std::string_view line) {
  constexpr std::string_view kSeverities = "IWEF";
  if (line.size() < 6 || kSeverities.find(line[0]) == std::string_view::npos || line[5] != ' ') return 0;
  for (std::size_t i = 1; i < 5; ++i) {
    if (!is_digit(line[i])) return 0;
  }
  return line.find("] ") != std::string_view::npos ? line[0] : 0;
}

bool contains(std::string_view line, std::string_view part) { return line.find(part) != std::string_view::npos; }

bool is_note(std::string_view line) {
  const char severity = severity_of(line);
  if (severity == 'I' || severity == 'W') return true;
  if (severity == 'E') {
    return contains(line, "Unable to register cu") || contains(line, "oneDNN supports DT_HALF only on");
  }
  return line.starts_with("WARNING: All log messages before absl::InitializeLog()");
}

// The second line of a note on instructions of the CPU.
bool goes_on(std::string_view line) { return line.starts_with("To enable the following instructions:"); }

}  // namespace

std::string without_notes(std::string_view text) {
  std::string rest;
  bool dropped = false;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::size_t size = end == std::string_view::npos ? text.size() : end + 1;
    const std::string_view line = text.substr(0, size);
    dropped = is_note(line) || (dropped && goes_on(line));
    if (!dropped) rest += line;
    text.remove_prefix(size);
  }
  return rest;
}

KeptStderr::KeptStderr() noexcept {
  if (busy.exchange(true)) return;
  const int before = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int file = before < 0 ? -1 : ::memfd_create("vialsight-stderr", MFD_CLOEXEC);
  if (file < 0) {
    if (before >= 0) ::close(before);
    busy = false;
    return;
  }
  static std::once_flag at_exit;
  try {
    std::call_once(at_exit, [] { static_cast<void>(std::atexit(show_everything)); });
  } catch (const std::exception&) {
    // Then only exit() while loading loses what was kept.
  }
  original = before;
  kept = file;
  handle_endings();
  ::dup2(file, STDERR_FILENO);
  file_ = file;
  before_ = before;
}

KeptStderr::~KeptStderr() { end(Show::kEverything); }

void KeptStderr::end(Show show) noexcept {
  if (file_ < 0) return;
  if (show == Show::kEverything) {
    show_everything();
  } else if (kept.load() >= 0) {  // else a signal has shown it already
    ::dup2(before_, STDERR_FILENO);
    try {
      const std::string rest = without_notes(content_of(file_));
      kept = -1;
      write_all(before_, rest.data(), rest.size());
    } catch (const std::exception&) {  // no memory to tell notes from the rest
      show_everything();
    }
  }
  handle_endings_as_before();
  ::close(std::exchange(file_, -1));
  ::close(std::exchange(before_, -1));
  original = -1;
  busy = false;
}

}  // namespace vialsight
