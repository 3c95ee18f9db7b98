// StripFeed: strips of a frame stream, read ahead by a thread of its own.
//
// A file may be shown again and again: no camera takes the same image twice, and an Inspector rejects what it has seen,
// so that from the second time on, the lowest bits of a frame's first 32 pixels hold which time it is, as cameras write
// a counter there.
#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "station/gige_camera/fake_gige.h"
#include "vialsight/frame_stream.h"
#include "vialsight/status.h"

namespace vialsight::station {

struct FedStrip {
  std::string product;
  int run = 0;
  bool defective = false;
  std::vector<Pixels> frames;  // F
};

class StripFeed {
 public:
  struct Options {
    std::string path;       // "-": standard input
    std::size_t ahead = 4;  // strips that wait, at most
    bool loop = false;      // files only
  };

  // Reads the header. kNotFound: no such file; kInvalidArgument: a loop of standard input; else as FrameStream::open.
  [[nodiscard]] static Result<std::unique_ptr<StripFeed>> open(const Options& options);
  StripFeed(const StripFeed&) = delete;
  StripFeed& operator=(const StripFeed&) = delete;
  ~StripFeed();  // does not wait for a pipe that gives nothing

  [[nodiscard]] const StreamFormat& format() const noexcept;
  // Until as many strips wait as may, or the stream has ended, or `stop` is set.
  void wait_until_full(const volatile std::sig_atomic_t& stop);
  // The next strip, waiting for it at most until `limit`; nothing at the end of the stream (ended()), and by then.
  [[nodiscard]] std::optional<FedStrip> take(Clock::time_point limit);
  [[nodiscard]] bool ended();
  // What broke the stream; ok where it ended as it should.
  [[nodiscard]] Status status();

 private:
  struct Impl;
  explicit StripFeed(std::shared_ptr<Impl> impl) noexcept;
  std::shared_ptr<Impl> impl_;  // the reading thread has it, too
};

}  // namespace vialsight::station
