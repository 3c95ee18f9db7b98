#include "vialsight/frame_stream.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <istream>
#include <limits>
#include <new>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/messages.h"
#include "imaging/layout_limits.h"

namespace vialsight {
namespace {

static_assert(std::endian::native == std::endian::little, "16-bit pixels are handed on as they arrive");

constexpr std::string_view kStreamMagic = "VSSTREAM";
constexpr std::string_view kFrameMagic = "FRAM";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 32;
constexpr std::size_t kRecordBytes = 96;
constexpr std::size_t kProductOffset = 32;
// The buffer grows by this much at most before the bytes are there.
constexpr std::size_t kChunkBytes = std::size_t{1} << 20U;

Status wrong(const std::string& message) { return corrupt("frame stream: " + message); }

// Where bytes come from. read() returns how many came, at most `bytes.size()`; fewer only at the end or on an error.
class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;
  [[nodiscard]] virtual Result<std::size_t> read(std::span<char> bytes) = 0;
};

class DescriptorSource : public Source {
 public:
  explicit DescriptorSource(int descriptor) : descriptor_(descriptor) {}

  [[nodiscard]] Result<std::size_t> read(std::span<char> bytes) override {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t count = ::read(descriptor_, bytes.data() + done, bytes.size() - done);
      if (count == 0) break;
      if (count > 0) {
        done += static_cast<std::size_t>(count);
      } else if (errno != EINTR) {
        return Status(Code::kInvalidArgument, std::string("frame stream: cannot read: ") + std::strerror(errno));
      }
    }
    return done;
  }

 private:
  int descriptor_;
};

class IstreamSource : public Source {
 public:
  explicit IstreamSource(std::istream& input) : input_(&input) {}

  [[nodiscard]] Result<std::size_t> read(std::span<char> bytes) override {
    try {
      input_->read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    } catch (const std::ios_base::failure&) {
      // The caller asked its istream to throw at the end; how much came says the same.
    }
    return static_cast<std::size_t>(input_->gcount());
  }

 private:
  std::istream* input_;
};

template <typename T>
T field(std::string_view bytes, std::size_t offset) {
  T value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// Reads a field that must lie in [minimum, maximum]; remembers the first that does not.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : bytes_(bytes) {}

  int number(const char* name, std::size_t offset, std::uint32_t minimum, std::uint32_t maximum) {
    const auto value = field<std::uint32_t>(bytes_, offset);
    if (value >= minimum && value <= maximum) return static_cast<int>(value);
    const std::string expected =
        minimum == maximum ? std::to_string(minimum) : std::to_string(minimum) + " to " + std::to_string(maximum);
    fail(std::string(name) + ": expected " + expected + ", got " + std::to_string(value));
    return 0;
  }

  // Zeros behind the text and nowhere else.
  std::string text(const char* name, std::size_t offset, std::size_t length) {
    const std::string_view all = bytes_.substr(offset, length);
    const std::string value(all.substr(0, all.find('\0')));
    const bool padded = all.substr(value.size()).find_first_not_of('\0') == std::string_view::npos;
    if (value.empty() || !padded || !is_plain_text(value)) {
      fail(std::string(name) + ": expected 1 to 64 bytes of UTF-8 without control characters, then zeros, got " +
           in_quotes(value));
    }
    return value;
  }

  void fail(const std::string& message) {
    if (status_.ok()) status_ = wrong(message);
  }
  [[nodiscard]] const Status& status() const noexcept { return status_; }

 private:
  std::string_view bytes_;
  Status status_;
};

Result<StreamFormat> parse_header(std::string_view bytes) {
  if (!bytes.starts_with(kStreamMagic)) {
    return wrong("expected it to start with \"VSSTREAM\", got " + in_quotes(bytes.substr(0, kStreamMagic.size())) +
                 "; was it written by `vialsight simulate --live`?");
  }
  if (const auto version = field<std::uint32_t>(bytes, 8); version != kVersion) {
    return Status(Code::kUnsupported, "frame stream: this build reads version 1, got " + std::to_string(version));
  }
  Fields fields(bytes);
  StreamFormat format;
  // A frame that no layout can have is none.
  format.width = fields.number("width", 12, 1, kMaxFrameEdge);
  format.height = fields.number("height", 16, 1, kMaxFrameEdge);
  format.bit_depth = fields.number("bit depth", 20, 8, 16);
  format.frames = fields.number("frames per strip", 24, 1, kMaxFrames);
  static_cast<void>(fields.number("reserved field", 28, 0, 0));
  if (!fields.status().ok()) return fields.status();
  return format;
}

std::size_t bytes_per_row(const StreamFormat& format) {
  return static_cast<std::size_t>(format.width) * (format.bit_depth > 8 ? 2U : 1U);
}

std::size_t bytes_per_frame(const StreamFormat& format) {
  return bytes_per_row(format) * static_cast<std::size_t>(format.height);
}

Result<StreamFrame> parse_record(std::string_view bytes, const StreamFormat& format) {
  if (!bytes.starts_with(kFrameMagic)) {
    return wrong("expected a frame record to start with \"FRAM\", got " +
                 in_quotes(bytes.substr(0, kFrameMagic.size())));
  }
  Fields fields(bytes);
  StreamFrame frame;
  frame.frame_index = fields.number("frame index", 4, 0, static_cast<std::uint32_t>(format.frames) - 1);
  frame.strip_id = field<std::uint64_t>(bytes, 8);
  frame.run = fields.number("run", 16, 1, std::numeric_limits<int>::max());
  frame.defective = fields.number("label", 20, 0, 1) == 1;
  frame.product = fields.text("product", kProductOffset, kRecordBytes - kProductOffset);
  if (const auto bytes_of_pixels = field<std::uint64_t>(bytes, 24); bytes_of_pixels != bytes_per_frame(format)) {
    fields.fail("bytes of pixels: expected " + std::to_string(bytes_per_frame(format)) + ", got " +
                std::to_string(bytes_of_pixels));
  }
  if (!fields.status().ok()) return fields.status();
  return frame;
}

std::string place(const StreamFrame& frame) {
  return "strip " + std::to_string(frame.strip_id) + ", frame " + std::to_string(frame.frame_index);
}

Status check_difference(const char* name, int here, int in_layout) {
  if (here == in_layout) return {};
  return {Code::kInvalidArgument, std::string("frame stream: ") + name + ": expected " + std::to_string(in_layout) +
                                      " as in the layout, got " + std::to_string(here)};
}

}  // namespace

struct FrameStream::Impl {
  std::unique_ptr<Source> source;
  StreamFormat format;
  std::optional<StreamFrame> last;
  std::vector<char> pixels;
  Status failure;

  // Whether all of `bytes` came: true; nothing did: false; a part: an error naming `what`.
  [[nodiscard]] Result<bool> fill(std::span<char> bytes, const std::string& what) const {
    const Result<std::size_t> count = source->read(bytes);
    if (!count.ok()) return count.status();
    if (count.value() == bytes.size()) return true;
    if (count.value() == 0) return false;
    return truncated(what, count.value(), bytes.size());
  }

  [[nodiscard]] static Status truncated(const std::string& what, std::size_t count, std::size_t expected) {
    return wrong("truncated in " + what + ": expected " + std::to_string(expected) + " bytes, got " +
                 std::to_string(count));
  }

  [[nodiscard]] bool between_strips() const { return !last || last->frame_index == format.frames - 1; }

  // Frames come in order, those of a strip together, strips one after the other.
  [[nodiscard]] Status check_order(const StreamFrame& frame) const {
    if (!last) {
      if (frame.frame_index == 0) return {};
      return wrong("wrong order: expected frame 0 of the first strip, got " + place(frame));
    }
    if (frame.strip_id == last->strip_id && frame.frame_index == last->frame_index) {
      return wrong("duplicated frame: " + place(frame) + " came twice");
    }
    StreamFrame expected;
    expected.strip_id = between_strips() ? last->strip_id + 1 : last->strip_id;
    expected.frame_index = between_strips() ? 0 : last->frame_index + 1;
    if (frame.strip_id != expected.strip_id || frame.frame_index != expected.frame_index) {
      return wrong("wrong order: expected " + place(expected) + ", got " + place(frame));
    }
    const bool same = frame.product == last->product && frame.run == last->run && frame.defective == last->defective;
    if (between_strips() || same) return {};
    return wrong("mixed strips: product, run or label of " + place(frame) + " differs from the frame before");
  }

  [[nodiscard]] Status make_room(std::size_t size) {
    try {
      if (pixels.size() < size) pixels.resize(size);
      return {};
    } catch (const std::bad_alloc&) {
      return {Code::kResourceExhausted,
              "frame stream: no memory for frames of " + std::to_string(bytes_per_frame(format)) + " bytes"};
    }
  }

  [[nodiscard]] Status read_pixels(const StreamFrame& frame) {
    const std::size_t size = bytes_per_frame(format);
    for (std::size_t done = 0; done < size;) {
      const std::size_t step = std::min(kChunkBytes, size - done);
      if (Status status = make_room(done + step); !status.ok()) return status;
      const Result<std::size_t> count = source->read(std::span(pixels).subspan(done, step));
      if (!count.ok()) return count.status();
      done += count.value();
      if (count.value() < step) return truncated("the pixels of " + place(frame), done, size);
    }
    return {};
  }

  [[nodiscard]] Result<std::optional<StreamFrame>> read_frame() {
    std::array<char, kRecordBytes> bytes{};
    const Result<bool> more = fill(bytes, "a frame record");
    if (!more.ok()) return more.status();
    if (!more.value()) {
      if (between_strips()) return std::optional<StreamFrame>();
      return wrong("truncated within a strip: the stream ends behind " + place(*last) + " of " +
                   std::to_string(format.frames));
    }
    Result<StreamFrame> frame = parse_record({bytes.data(), bytes.size()}, format);
    if (!frame.ok()) return frame.status();
    if (Status status = check_order(frame.value()); !status.ok()) return status;
    if (Status status = read_pixels(frame.value()); !status.ok()) return status;
    last = frame.value();
    frame.value().pixels = {pixels.data(), format.width, format.height,
                            static_cast<std::ptrdiff_t>(bytes_per_row(format)),
                            format.bit_depth > 8 ? PixelFormat::kGray16 : PixelFormat::kGray8};
    return std::optional<StreamFrame>(std::move(frame).value());
  }

  [[nodiscard]] static Result<FrameStream> open(std::unique_ptr<Source> source) {
    auto impl = std::make_unique<Impl>();
    impl->source = std::move(source);
    std::array<char, kHeaderBytes> bytes{};
    const Result<bool> complete = impl->fill(bytes, "the header");
    if (!complete.ok()) return complete.status();
    if (!complete.value()) return wrong("it is empty; expected a header of 32 bytes");
    const Result<StreamFormat> format = parse_header({bytes.data(), bytes.size()});
    if (!format.ok()) return format.status();
    impl->format = format.value();
    return FrameStream(std::move(impl));
  }
};

FrameStream::FrameStream(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
FrameStream::FrameStream(FrameStream&&) noexcept = default;
FrameStream& FrameStream::operator=(FrameStream&&) noexcept = default;
FrameStream::~FrameStream() = default;

Result<FrameStream> FrameStream::open(int descriptor) {
  return Impl::open(std::make_unique<DescriptorSource>(descriptor));
}

Result<FrameStream> FrameStream::open(std::istream& input) {
  return Impl::open(std::make_unique<IstreamSource>(input));
}

const StreamFormat& FrameStream::format() const noexcept { return impl_->format; }

Status FrameStream::check_layout(const Layout& layout) const {
  const StreamFormat& here = impl_->format;
  if (Status status = check_difference("width", here.width, layout.frame_width); !status.ok()) return status;
  if (Status status = check_difference("height", here.height, layout.frame_height); !status.ok()) return status;
  if (Status status = check_difference("bit depth", here.bit_depth, layout.bit_depth); !status.ok()) return status;
  return check_difference("frames per strip", here.frames, layout.frames);
}

Result<std::optional<StreamFrame>> FrameStream::next_frame() {
  if (!impl_->failure.ok()) return impl_->failure;
  Result<std::optional<StreamFrame>> frame = impl_->read_frame();
  if (!frame.ok()) impl_->failure = frame.status();
  return frame;
}

}  // namespace vialsight
