// HomeProcess: in which process an object was made.
//
// A process that fork() makes has a copy of the object's memory, and none of what the object lives by: its threads did
// not come along, its locks may be held by one of them for ever, and its descriptors are the parent's, in which a write
// reaches the parent's worker. So the owner asks is_here() before it touches any of these, in destructors, too.
//
// The number of the process is compared, not noted by pthread_atfork(): a clone without handlers is told apart as well.
// A later process could get the same number only once the first has ended and all others were given away. getpid() is a
// system call of some 50 ns.
#pragma once

#include <unistd.h>

#include <string>

#include "vialsight/status.h"

namespace vialsight {

class HomeProcess {
 public:
  HomeProcess() noexcept : pid_(::getpid()) {}

  [[nodiscard]] bool is_here() const noexcept { return ::getpid() == pid_; }
  // Ok here; elsewhere kFailedPrecondition, about an object of this kind ("Inspector").
  [[nodiscard]] Status check(const char* kind) const {
    if (is_here()) return {};
    return {Code::kFailedPrecondition,
            std::string("this ") + kind + " was made by process " + std::to_string(pid_) + ", and this is process " +
                std::to_string(::getpid()) + ", which came of a fork: threads and worker stayed behind; make another " +
                kind + " after the fork, or start the process with exec (Python: multiprocessing's \"spawn\")"};
  }

 private:
  pid_t pid_;
};

}  // namespace vialsight
