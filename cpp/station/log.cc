#include "station/log.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "station/utf8.h"

namespace vialsight::station {

void log_line(std::string_view text) noexcept {
  constexpr std::string_view kName = "vialsight-station: ";
  // A pipe that is writable takes as much at once (PIPE_BUF), whoever else writes.
  std::array<char, 4096> line;
  const std::string_view shown = cut_utf8(text, line.size() - kName.size() - 1);
  char* end = line.data();
  for (const std::string_view part : {kName, shown, std::string_view("\n")}) {
    std::memcpy(end, part.data(), part.size());
    end += part.size();
  }
  pollfd target{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&target, 1, 0) != 1 || (target.revents & POLLOUT) == 0) return;
  [[maybe_unused]] const ssize_t written =
      ::write(STDERR_FILENO, line.data(), static_cast<std::size_t>(end - line.data()));
}

}  // namespace vialsight::station
