#include "station/spool_format.h"

#include <bit>
#include <cstdio>
#include <cstring>

#include "station/crc32.h"

namespace vialsight::station {
namespace {

static_assert(std::endian::native == std::endian::little, "the spool is little-endian");

constexpr std::string_view kSegmentMagic = "VSSPOOL1";
constexpr std::uint32_t kEntryMagic = 0x31455356;  // "VSE1"
constexpr std::size_t kSealedSegmentBytes = 28;
constexpr std::size_t kSealedEntryBytes = 36;

template <typename T>
void put(void* bytes, std::size_t offset, T value) noexcept {
  std::memcpy(static_cast<std::byte*>(bytes) + offset, &value, sizeof value);
}

template <typename T>
T get(std::span<const std::byte> bytes, std::size_t offset) noexcept {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::span<const std::byte> bytes_of(const std::string& text, std::size_t offset, std::size_t size) noexcept {
  return std::as_bytes(std::span(text).subspan(offset, size));
}

template <typename T>
void append(std::string& text, const T& value) {
  text.append(static_cast<const char*>(static_cast<const void*>(&value)), sizeof value);
}

void append_bytes(std::string& text, const void* bytes, std::size_t size) {
  text.append(static_cast<const char*>(bytes), size);
}

}  // namespace

std::array<std::byte, kSegmentHeaderBytes> make_segment_header(std::uint64_t first_seq,
                                                               std::int64_t created_unix_ns) noexcept {
  std::array<std::byte, kSegmentHeaderBytes> header{};
  std::memcpy(header.data(), kSegmentMagic.data(), kSegmentMagic.size());
  put(header.data(), 8, first_seq);
  put(header.data(), 16, created_unix_ns);
  put(header.data(), kSealedSegmentBytes, crc32(std::span(header).first(kSealedSegmentBytes)));
  return header;
}

std::uint64_t read_segment_header(std::span<const std::byte> bytes) noexcept {
  if (bytes.size() < kSegmentHeaderBytes) return 0;
  if (std::memcmp(bytes.data(), kSegmentMagic.data(), kSegmentMagic.size()) != 0) return 0;
  if (get<std::uint32_t>(bytes, kSealedSegmentBytes) != crc32(bytes.first(kSealedSegmentBytes))) return 0;
  return get<std::uint64_t>(bytes, 8);
}

void seal_entry(std::string& entry, EntryKind kind, std::uint64_t seq, std::int64_t unix_ns) noexcept {
  const std::size_t payload = entry.size() - kEntryHeaderBytes;
  put(entry.data(), 0, kEntryMagic);
  put(entry.data(), 4, static_cast<std::uint32_t>(kind));
  put(entry.data(), 8, seq);
  put(entry.data(), 16, unix_ns);
  put(entry.data(), 24, static_cast<std::uint64_t>(payload));
  put(entry.data(), 32, crc32(bytes_of(entry, kEntryHeaderBytes, payload)));
  put(entry.data(), kSealedEntryBytes, crc32(bytes_of(entry, 0, kSealedEntryBytes)));
}

bool read_entry_header(std::span<const std::byte> bytes, EntryHeader& header) noexcept {
  if (bytes.size() < kEntryHeaderBytes || get<std::uint32_t>(bytes, 0) != kEntryMagic) return false;
  if (get<std::uint32_t>(bytes, kSealedEntryBytes) != crc32(bytes.first(kSealedEntryBytes))) return false;
  header.kind = static_cast<EntryKind>(get<std::uint32_t>(bytes, 4));
  header.seq = get<std::uint64_t>(bytes, 8);
  header.unix_ns = get<std::int64_t>(bytes, 16);
  header.payload_bytes = get<std::uint64_t>(bytes, 24);
  header.payload_crc = get<std::uint32_t>(bytes, 32);
  return true;
}

void append_pictures(const Pictures& pictures, std::uint64_t strip_seq, std::string& entry) {
  append(entry, strip_seq);
  for (const std::uint32_t number :
       {pictures.width, pictures.height, pictures.pixel_bytes, static_cast<std::uint32_t>(pictures.frames),
        static_cast<std::uint32_t>(pictures.maps), pictures.patch_size}) {
    append(entry, number);
  }
  for (std::size_t i = 0; i < pictures.frames; ++i) {
    append(entry, pictures.indices[i]);
    append(entry, std::uint32_t{0});
    append_bytes(entry, pictures.frame(i), pictures.bytes_of_frame());
  }
  for (std::size_t i = 0; i < pictures.maps; ++i) {
    const MapHead& head = pictures.map_heads[i];
    for (const std::uint32_t place : {head.frame, head.vial, head.region}) append(entry, place);
    for (const float value : {head.score, head.vmin, head.vmax}) append(entry, value);
    append_bytes(entry, pictures.map(i), pictures.bytes_of_map());
  }
}

std::string segment_name(std::uint64_t first_seq) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "%020llu.vss", static_cast<unsigned long long>(first_seq));
  return name.data();
}

}  // namespace vialsight::station
