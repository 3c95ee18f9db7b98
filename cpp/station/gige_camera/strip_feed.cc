#include "station/gige_camera/strip_feed.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace vialsight::station {
namespace {

constexpr std::size_t kCounterPixels = 32;
constexpr std::chrono::milliseconds kLookAgain{50};

Pixels copy_of(const FrameView& frame) {
  const std::size_t depth = frame.format == PixelFormat::kGray16 ? 2 : 1;
  const std::size_t row = static_cast<std::size_t>(frame.width) * depth;
  auto pixels = std::make_shared<std::vector<std::uint8_t>>(row * static_cast<std::size_t>(frame.height));
  for (int y = 0; y < frame.height; ++y) {
    const auto* from = static_cast<const std::uint8_t*>(frame.data) + y * frame.row_stride_bytes;
    std::memcpy(pixels->data() + static_cast<std::size_t>(y) * row, from, row);
  }
  return pixels;
}

// `time` from 0, which leaves them as they are. Both byte orders have the lowest bit of a pixel in its first byte here.
void write_counter(std::vector<std::uint8_t>& pixels, std::uint32_t time, std::size_t depth) {
  const std::size_t count = std::min(kCounterPixels, pixels.size() / depth);
  for (std::size_t bit = 0; bit < count; ++bit)
    pixels[bit * depth] = static_cast<std::uint8_t>(pixels[bit * depth] ^ ((time >> bit) & 1U));
}

Result<int> open_file(const std::string& path) {
  if (path == "-") return ::dup(STDIN_FILENO);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor >= 0) return descriptor;
  return Status(Code::kNotFound, "expected a frame stream in " + path + ", got: " + std::strerror(errno));
}

}  // namespace

struct StripFeed::Impl {
  Options options;
  int descriptor = -1;
  std::optional<FrameStream> stream;  // the reading thread's, once it runs
  StreamFormat format;
  std::uint32_t time = 0;

  std::mutex mutex;  // all below
  std::condition_variable changed;
  std::deque<FedStrip> waiting;
  bool ended = false;
  bool left = false;
  Status status;

  ~Impl() { close(); }
  void close() {
    stream.reset();
    if (descriptor >= 0) ::close(descriptor);
    descriptor = -1;
  }
  Status open() {
    close();
    const Result<int> opened = open_file(options.path);
    if (!opened.ok()) return opened.status();
    descriptor = opened.value();
    auto result = FrameStream::open(descriptor);
    if (!result.ok()) return result.status();
    stream.emplace(std::move(result).value());
    if (time == 0) format = stream->format();
    if (stream->format() == format) return {};
    return {Code::kDataCorrupt, "expected frames of the same size as before in " + options.path + ", got others"};
  }
  Result<std::optional<FedStrip>> read_strip();
  Result<std::optional<FedStrip>> read_on();
  void read_all();
  bool put(FedStrip strip);
};

Result<std::optional<FedStrip>> StripFeed::Impl::read_strip() {
  FedStrip strip;
  for (int index = 0; index < format.frames; ++index) {
    auto next = stream->next_frame();
    if (!next.ok()) return next.status();
    if (!next.value()) return std::optional<FedStrip>();
    const StreamFrame& frame = *next.value();
    strip.product = frame.product;
    strip.run = frame.run;
    strip.defective = frame.defective;
    auto pixels = std::const_pointer_cast<std::vector<std::uint8_t>>(copy_of(frame.pixels));
    write_counter(*pixels, time, frame.pixels.format == PixelFormat::kGray16 ? 2 : 1);
    strip.frames.push_back(std::move(pixels));
  }
  return std::optional<FedStrip>(std::move(strip));
}

// The next strip, from the beginning again where that is wanted.
Result<std::optional<FedStrip>> StripFeed::Impl::read_on() {
  auto strip = read_strip();
  if (!strip.ok() || strip.value() || !options.loop) return strip;
  ++time;
  if (Status opened = open(); !opened.ok()) return opened;
  return read_strip();
}

bool StripFeed::Impl::put(FedStrip strip) {
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return left || waiting.size() < options.ahead; });
  if (left) return false;
  waiting.push_back(std::move(strip));
  changed.notify_all();
  return true;
}

void StripFeed::Impl::read_all() {
  for (;;) {
    auto strip = read_on();
    if (strip.ok() && strip.value()) {
      if (!put(std::move(*strip.value()))) return;
      continue;
    }
    const std::lock_guard lock(mutex);
    ended = true;
    if (!strip.ok()) status = strip.status();
    changed.notify_all();
    return;
  }
}

StripFeed::StripFeed(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

StripFeed::~StripFeed() {
  const std::lock_guard lock(impl_->mutex);
  impl_->left = true;
  impl_->changed.notify_all();
}

Result<std::unique_ptr<StripFeed>> StripFeed::open(const Options& options) {
  if (options.loop && options.path == "-") {
    return Status(Code::kInvalidArgument, "--loop: expected a file, got standard input; let its writer loop");
  }
  auto impl = std::make_shared<Impl>();
  impl->options = options;
  impl->options.ahead = std::max<std::size_t>(options.ahead, 1);
  if (Status opened = impl->open(); !opened.ok()) return opened;
  // Detached: it may be waiting for a pipe forever, and shares what it needs.
  std::thread([impl] { impl->read_all(); }).detach();
  return std::unique_ptr<StripFeed>(new StripFeed(std::move(impl)));
}

const StreamFormat& StripFeed::format() const noexcept { return impl_->format; }

void StripFeed::wait_until_full(const volatile std::sig_atomic_t& stop) {
  std::unique_lock lock(impl_->mutex);
  const auto full = [&] { return impl_->ended || impl_->waiting.size() >= impl_->options.ahead; };
  while (stop == 0 && !impl_->changed.wait_for(lock, kLookAgain, full)) {
  }
}

std::optional<FedStrip> StripFeed::take(Clock::time_point limit) {
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait_until(lock, limit, [&] { return impl_->ended || !impl_->waiting.empty(); });
  if (impl_->waiting.empty()) return std::nullopt;
  FedStrip strip = std::move(impl_->waiting.front());
  impl_->waiting.pop_front();
  impl_->changed.notify_all();
  return strip;
}

bool StripFeed::ended() {
  const std::lock_guard lock(impl_->mutex);
  return impl_->ended && impl_->waiting.empty();
}

Status StripFeed::status() {
  const std::lock_guard lock(impl_->mutex);
  return impl_->status;
}

}  // namespace vialsight::station
