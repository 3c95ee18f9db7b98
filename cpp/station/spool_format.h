// The spool's bytes: segments `spool/%020llu.vss` of entries, little-endian, without padding.
//
//   segment  char[8] "VSSPOOL1" | u64 first seq | i64 created, unix ns | u32 0 | u32 crc32 of the 28 bytes before
//   entry    u32 "VSE1" | u32 kind | u64 seq | i64 unix ns | u64 bytes of payload | u32 crc32 of the payload
//            | u32 crc32 of the 36 bytes before | payload
// seq goes up by one from entry to entry, over all segments and restarts. The payload of kPictures is binary:
//   u64 seq of the strip | u32 width, height, bytes per pixel, frames, maps, P | frames × (u32 index | u32 0 | pixels)
//   | maps × (u32 frame, vial, region | f32 φ, vmin, vmax | u8[P·P])
// All others are JSON objects in UTF-8.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "station/pictures.h"
#include "station/strip_entry.h"

namespace vialsight::station {

enum class EntryKind : std::uint32_t { kStart = 1, kStrip = 2, kPictures = 3, kGap = 4, kCommand = 5, kEvent = 6 };

inline constexpr std::size_t kSegmentHeaderBytes = 32;
inline constexpr std::size_t kEntryHeaderBytes = 40;

struct EntryHeader {
  EntryKind kind = EntryKind::kEvent;
  std::uint64_t seq = 0;
  std::int64_t unix_ns = 0;
  std::uint64_t payload_bytes = 0;
  std::uint32_t payload_crc = 0;
};

[[nodiscard]] std::array<std::byte, kSegmentHeaderBytes> make_segment_header(std::uint64_t first_seq,
                                                                             std::int64_t created_unix_ns) noexcept;
// The first seq of a segment that begins with `bytes`; 0: it does not begin as segments do.
[[nodiscard]] std::uint64_t read_segment_header(std::span<const std::byte> bytes) noexcept;

// `entry` holds room for a header, then the payload: fills in the header, checksums included.
void seal_entry(std::string& entry, EntryKind kind, std::uint64_t seq, std::int64_t unix_ns) noexcept;
// Whether `bytes` begin with an entry's header, and which.
[[nodiscard]] bool read_entry_header(std::span<const std::byte> bytes, EntryHeader& header) noexcept;

// JSON of a strip, into `text`.
void write_strip_json(const StripEntry& entry, std::string& text);
// The binary payload, behind what `entry` holds.
void append_pictures(const Pictures& pictures, std::uint64_t strip_seq, std::string& entry);

[[nodiscard]] std::string segment_name(std::uint64_t first_seq);  // "00000000000000000001.vss"

}  // namespace vialsight::station
