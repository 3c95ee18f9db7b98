// Keeps what is written to file descriptor 2 in memory while a library is loaded that prints notes.
//
// States: keeping, from construction; ended, after end() or destruction. One object at a time keeps; further ones do
// nothing, and so does one that cannot keep (descriptor 2 closed, no memory).
// Nothing is lost: what other threads and child processes write meanwhile is kept and shown, too, except what a child
// writes after the end. If the process dies meanwhile of a fault, abort() or SIGTERM, or calls exit(), all that was
// kept is written out first; SIGKILL leaves no time for that.
#pragma once

#include <string>
#include <string_view>

namespace vialsight {

// `text` without the notes of TensorFlow's logging: lines of severity I or W and what goes with them. Its errors and
// all other text stay, but for two errors that are none: a factory registered twice, and a number format that a CPU
// does not have.
[[nodiscard]] std::string without_notes(std::string_view text);

class KeptStderr {
 public:
  KeptStderr() noexcept;
  KeptStderr(const KeptStderr&) = delete;
  KeptStderr& operator=(const KeptStderr&) = delete;
  ~KeptStderr();  // as end(kEverything)

  enum class Show { kEverything, kAllButNotes };
  // Gives descriptor 2 back and writes to it what was kept. Further calls do nothing.
  void end(Show show) noexcept;

 private:
  int file_ = -1;    // memory file that keeps; -1: this object keeps nothing
  int before_ = -1;  // where descriptor 2 led to
};

}  // namespace vialsight
