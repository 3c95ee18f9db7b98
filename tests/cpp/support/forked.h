// What a forked child does, told to its parent in a text, with an end to the waiting.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "vialsight/isolation.h"

#ifdef VIALSIGHT_SANITIZED
#define SKIP_WITH_A_SANITIZER() GTEST_SKIP() << "a sanitizer's runtime does not survive fork"
#else
#define SKIP_WITH_A_SANITIZER() static_cast<void>(0)
#endif

namespace vialsight::test {

// What refusals say.
inline const auto kNamesTheFork = ::testing::AllOf(::testing::HasSubstr("made by process"),
                                                   ::testing::HasSubstr("fork"), ::testing::HasSubstr("exec"));

inline std::string name_of_isolation(const ::testing::TestParamInfo<Isolation>& isolation) {
  return isolation.param == Isolation::kWorker ? "worker" : "in_process";
}

// How the child ends once it has told what it had to tell.
enum class Ending { kAtOnce, kOrdinary };

// Runs `body` in a forked child and returns its text; "hung" when the child does not end in a minute, which no machine
// is too slow for. kOrdinary runs destructors of statics, as a program that returns from main does.
inline std::string in_child(const std::function<std::string()>& body, Ending ending = Ending::kAtOnce) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    const std::string text = body();
    const bool written = ::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (ending == Ending::kAtOnce) ::_exit(written ? 0 : 1);
    ::exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  pollfd waiting = {ends[0], POLLIN, 0};
  char buffer[4096];
  bool hung = false;
  for (;;) {
    hung = ::poll(&waiting, 1, 60'000) == 0;
    const ssize_t size = hung ? 0 : ::read(ends[0], buffer, sizeof buffer);
    if (size <= 0) break;
    text.append(buffer, static_cast<std::size_t>(size));
  }
  ::close(ends[0]);
  if (hung) ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (hung) return "hung";
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? text : text + " (ended with " + std::to_string(status) + ")";
}

}  // namespace vialsight::test
