#include "station/stream_source.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <istream>
#include <limits>
#include <optional>
#include <streambuf>
#include <utility>

#include "station/queued_source.h"
#include "station/snapshot_layout.h"
#include "station/system_error.h"
#include "vialsight/frame_stream.h"

namespace vialsight::station {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 16U;

// Bytes of a descriptor, until `stop` becomes readable: then the input ends.
class StoppableInput final : public std::streambuf {
 public:
  StoppableInput(int input, int stop) : input_(input), stop_(stop) {}
  // Waits for the first bytes: a FIFO that nobody has opened for writing yet is at its end.
  void wait_for_writer(bool wanted) noexcept { waits_for_writer_ = wanted; }

 protected:
  int_type underflow() override {
    const std::size_t count = read(buffer_.data(), buffer_.size());
    if (count == 0) return traits_type::eof();
    setg(buffer_.data(), buffer_.data(), buffer_.data() + count);
    return traits_type::to_int_type(*gptr());
  }
  // Large pieces go where they shall be, without the buffer.
  std::streamsize xsgetn(char* target, std::streamsize wanted) override {
    const auto size = static_cast<std::size_t>(wanted);
    auto done = static_cast<std::size_t>(std::min(egptr() - gptr(), static_cast<std::ptrdiff_t>(size)));
    if (done > 0) std::memcpy(target, gptr(), done);
    gbump(static_cast<int>(done));
    while (done < size) {
      const std::size_t count = read(target + done, size - done);
      if (count == 0) break;
      done += count;
    }
    return static_cast<std::streamsize>(done);
  }

 private:
  std::size_t read(char* target, std::size_t size) {
    for (;;) {
      pollfd waited[2] = {{input_, POLLIN, 0}, {stop_, POLLIN, 0}};
      if (::poll(waited, 2, -1) < 0 && errno != EINTR) return 0;
      if (waited[1].revents != 0) return 0;
      if (waited[0].revents == 0) continue;
      const ssize_t count = ::read(input_, target, size);
      if (count > 0) {
        waits_for_writer_ = false;
        return static_cast<std::size_t>(count);
      }
      if (count == 0 && waits_for_writer_) {
        pollfd stop{stop_, POLLIN, 0};
        constexpr int kLookAgainMs = 20;
        if (::poll(&stop, 1, kLookAgainMs) != 0) return 0;
        continue;
      }
      if (count == 0 || (errno != EINTR && errno != EAGAIN)) return 0;
    }
  }

  int input_;
  int stop_;
  bool waits_for_writer_ = false;
  std::array<char, kBufferBytes> buffer_;
};

class StreamSource final : public QueuedSource {
 public:
  StreamSource(std::string path, FileDescriptor file, const Layout& layout, std::chrono::nanoseconds slot)
      : QueuedSource(layout), path_(std::move(path)), file_(std::move(file)), slot_(slot) {}
  ~StreamSource() override { stop(); }

  [[nodiscard]] std::string describe() const override {
    return path_.empty() ? "frame stream on standard input" : "frame stream '" + path_ + "'";
  }

 protected:
  Status open() override;
  void read_frame(Buffer& buffer) override;

 private:
  [[nodiscard]] int input() const noexcept { return path_.empty() ? STDIN_FILENO : file_.get(); }

  std::string path_;     // empty: standard input
  FileDescriptor file_;  // of the path
  std::chrono::nanoseconds slot_;
  bool has_pace_ = true;  // of its own
  Clock::time_point due_ = Clock::now();
  std::unique_ptr<StoppableInput> bytes_;
  std::unique_ptr<std::istream> input_;
  std::optional<FrameStream> stream_;
};

Status StreamSource::open() {
  struct stat about = {};
  if (::fstat(input(), &about) != 0) return system_error("source: " + describe(), errno);
  has_pace_ = !S_ISREG(about.st_mode);
  bytes_ = std::make_unique<StoppableInput>(input(), stop_descriptor());
  bytes_->wait_for_writer(S_ISFIFO(about.st_mode) && !path_.empty());
  input_ = std::make_unique<std::istream>(bytes_.get());
  Result<FrameStream> stream = FrameStream::open(*input_);
  if (!stream.ok()) return stream.status();
  if (Status status = stream.value().check_layout(layout()); !status.ok()) return status;
  stream_ = std::move(stream).value();
  due_ = Clock::now();
  return {};
}

void StreamSource::read_frame(Buffer& buffer) {
  const Result<std::optional<StreamFrame>> next = stream_->next_frame();
  buffer.kind = SourceEvent::Kind::kEnd;
  if (!next.ok()) {
    buffer.kind = SourceEvent::Kind::kError;
    buffer.text = next.status().message();
  }
  if (!next.ok() || !next.value()) return;
  const StreamFrame& frame = *next.value();
  buffer.kind = SourceEvent::Kind::kFrame;
  buffer.strip_id = frame.strip_id;
  buffer.frame_index = frame.frame_index;
  std::memcpy(buffer.pixels.data(), frame.pixels.data, buffer.pixels.size());  // dense, of the layout's size
  if (has_pace_ || frame.frame_index != 0) return;
  wait_until(due_);
  due_ += slot_;
}

}  // namespace

Result<std::unique_ptr<FrameSource>> make_stream_source(const std::string& path, const Layout& layout,
                                                        std::chrono::nanoseconds slot) {
  FileDescriptor file;
  if (!path.empty()) {
    file.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file.valid()) return system_error("--source stream: cannot open '" + path + "'", errno);
  }
  return std::unique_ptr<FrameSource>(std::make_unique<StreamSource>(path, std::move(file), layout, slot));
}

}  // namespace vialsight::station
