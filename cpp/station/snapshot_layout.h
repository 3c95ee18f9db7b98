// Where everything lies in the snapshot, which other processes map read-only: a file of fixed size, little-endian.
//
//   header │ status │ N strip blocks │ K picture blocks │ 2 live blocks
//
// Each block begins with a sequence lock: odd while it is written, another number afterwards. A reader takes a block
// again when the number was odd or has changed. Strip n lies in block n mod N, pictures likewise. Every field of
// variable length begins at a multiple of 8 bytes from the begin of its block.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vialsight/decision.h"
#include "vialsight/layout.h"

namespace vialsight::station {

inline constexpr std::uint32_t kStripBlocks = 256;
inline constexpr std::uint32_t kPictureBlocks = 8;
inline constexpr std::uint32_t kLiveBlocks = 2;
inline constexpr std::size_t kMaxMaps = 12;  // of one strip
inline constexpr std::size_t kRejectCounters = 16;
static_assert(kRejectCounters >= kReasonCount);

struct SnapshotHeader {
  char magic[8];  // "VSSNAP01"
  std::uint64_t total_bytes;
  std::uint32_t frames, vials, regions, patch_size;
  std::uint32_t width, height, bytes_per_pixel, bit_depth;
  std::uint32_t reasons, patches, strip_blocks, picture_blocks;
  std::uint64_t status_offset, status_bytes, strips_offset, strip_bytes;
  std::uint64_t pictures_offset, picture_bytes, live_offset, live_bytes;  // bytes of one block each
  char bundle[64];
  char sha256[64];  // digits, without a zero behind
};
static_assert(sizeof(SnapshotHeader) == 256 && offsetof(SnapshotHeader, bundle) == 128);

struct StatusBlock {
  std::uint32_t lock, zero;
  std::uint64_t pid;
  char session[32];  // hexadecimal digits, without a zero behind
  std::int64_t started_unix_ns, updated_mono_ns, updated_unix_ns;
  std::uint32_t mode, hindrance;
  std::uint8_t ready, busy, result_valid, accept, reason, zeros[3];
  std::uint64_t strip_id, heartbeat;
  std::uint64_t triggers, accepted, rejected[kRejectCounters], in_flight;
  std::uint32_t batch, zero_too;
  std::uint64_t batch_triggers, batch_accepted, batch_rejected[kRejectCounters];
  std::uint64_t last_seq, spooled_seq;  // given to the ring, on the disk
  std::uint64_t gaps, pictures_left_out, worker_restarts, frames_received, frames_dropped;
  std::uint64_t strips_written, pictures_written, live_written;  // blocks ever written
  double budget_ms, margin_ms;
  char last_fault[256];
  char source[128];
  char rest[136];
};
static_assert(sizeof(StatusBlock) == 1024 && offsetof(StatusBlock, batch) == 256 &&
              offsetof(StatusBlock, last_seq) == 408 && offsetof(StatusBlock, last_fault) == 504);

struct StripBlockHead {
  std::uint32_t lock, zero;
  std::uint64_t n, seq, strip_id;
  std::int64_t unix_ns;  // of the verdict
  std::uint32_t batch, mode;
  std::uint8_t verdict, reason, gate, zero_too;
  std::uint32_t flags;  // 1: pictures were kept
  double latency_ms, slack_ms;
  double locate_ms, extract_ms, infer_ms, score_ms, after_last_frame_ms;
};
static_assert(sizeof(StripBlockHead) == 112);

struct PictureBlockHead {
  std::uint32_t lock, zero;
  std::uint64_t n, seq, strip_id;
  std::uint32_t frames;  // bit i: frame i is there
  std::uint32_t maps;
};
static_assert(sizeof(PictureBlockHead) == 40);

// Of a patch above its threshold; its P·P bytes follow: 0 is vmin, 255 is vmax.
struct MapHead {
  std::uint32_t frame, vial, region, zero;
  float score, vmin, vmax, zero_too;
};
static_assert(sizeof(MapHead) == 32);

[[nodiscard]] constexpr std::size_t padded(std::size_t bytes) noexcept { return (bytes + 7) / 8 * 8; }

[[nodiscard]] inline std::size_t bytes_per_pixel(const Layout& layout) noexcept { return layout.bit_depth > 8 ? 2 : 1; }

[[nodiscard]] inline std::size_t frame_bytes(const Layout& layout) noexcept {
  return static_cast<std::size_t>(layout.frame_width) * static_cast<std::size_t>(layout.frame_height) *
         bytes_per_pixel(layout);
}

// Offsets within a block, and the blocks' sizes.
struct SnapshotPlan {
  explicit SnapshotPlan(const Layout& layout) noexcept
      : frame(frame_bytes(layout)),
        thresholds(sizeof(StripBlockHead)),
        scores(thresholds + padded(layout.region_count() * sizeof(float))),
        vials(scores + padded(layout.patches_per_strip() * sizeof(float))),
        locations(vials + padded(layout.vial_count())),
        strip(locations + static_cast<std::size_t>(layout.frames) * 4 * sizeof(float)),
        maps(sizeof(PictureBlockHead) + padded(static_cast<std::size_t>(layout.frames) * frame)),
        map_stride(sizeof(MapHead) + padded(layout.pixels_per_patch())),
        picture(maps + kMaxMaps * map_stride) {}

  std::size_t frame;  // bytes of one frame's pixels
  std::size_t thresholds, scores, vials, locations;
  std::size_t strip;       // bytes of a strip block
  std::size_t maps;        // the first map of a picture block
  std::size_t map_stride;  // from one to the next
  std::size_t picture;     // bytes of a picture block, also of a live block

  std::size_t status_offset = sizeof(SnapshotHeader);
  std::size_t strips_offset = status_offset + sizeof(StatusBlock);
  std::size_t pictures_offset = strips_offset + kStripBlocks * strip;
  std::size_t live_offset = pictures_offset + kPictureBlocks * picture;
  std::size_t total = live_offset + kLiveBlocks * picture;
};

}  // namespace vialsight::station
