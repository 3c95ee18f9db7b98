// FrameStream: strips read frame by frame from a pipe, as `vialsight simulate SET --live` writes them.
//
// The stream, little-endian, without padding:
//   header, 32 bytes   char[8] magic "VSSTREAM"; u32 version = 1, width, height, bit depth (8 to 16), frames per strip,
//                      0
//   then for each frame, those of one strip in order
//   record, 96 bytes   char[4] magic "FRAM"; u32 frame index from 0; u64 strip id; u32 run from 1; u32 label, 0 nominal
//                      or 1 defective; u64 bytes of pixels; char[64] product, UTF-8, filled up with zeros
//   pixels             height rows of width pixels: one byte each at bit depth 8, two above
// Strip ids go up by one from strip to strip. A stream ends behind the last frame of a strip; anything else is an
// error, after which the stream gives nothing more: what follows a wrong byte cannot be trusted.
//
// Every field is checked before it is used. Memory grows with the pixels that arrive, not with what a header claims.
// Pixel values above the bit depth are found by Inspector::submit. One thread; reading blocks until bytes or the end
// come, and takes nothing beyond the frame it returns, so that poll() on the descriptor tells whether a frame is there.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>

#include "vialsight/export.h"
#include "vialsight/layout.h"
#include "vialsight/patches.h"
#include "vialsight/status.h"

namespace vialsight {

// What the header says of all frames.
struct StreamFormat {
  int width = 0;   // pixels
  int height = 0;  // pixels
  int bit_depth = 8;
  int frames = 0;  // F, frames per strip

  friend bool operator==(const StreamFormat&, const StreamFormat&) = default;
};

struct StreamFrame {
  std::uint64_t strip_id = 0;
  std::string product;  // name of the physical strip
  int run = 0;          // which acquisition of the product, from 1
  int frame_index = 0;  // in [0, F)
  bool defective = false;
  FrameView pixels;  // valid until the next call of next_frame() and while the stream lives
};

class VIALSIGHT_API FrameStream {
 public:
  // Reads the header. Descriptor and istream are borrowed; whoever opened them closes them after the stream is gone.
  // kDataCorrupt: another magic, a field out of range, or an end within the header; kUnsupported: another version;
  // kInvalidArgument: the descriptor cannot be read.
  [[nodiscard]] static Result<FrameStream> open(int descriptor);
  [[nodiscard]] static Result<FrameStream> open(std::istream& input);
  FrameStream(FrameStream&&) noexcept;
  FrameStream& operator=(FrameStream&&) noexcept;
  ~FrameStream();

  [[nodiscard]] const StreamFormat& format() const noexcept;
  // Ok when frames of this format fit `layout`; else kInvalidArgument naming both values of what differs.
  [[nodiscard]] Status check_layout(const Layout& layout) const;

  // The next frame, or nothing at the end of the stream. kDataCorrupt: truncated, wrong magic, a field out of range,
  // a frame that comes twice, is missing or of another strip than its index says. An error is repeated forever.
  [[nodiscard]] Result<std::optional<StreamFrame>> next_frame();

 private:
  struct Impl;
  explicit FrameStream(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vialsight
