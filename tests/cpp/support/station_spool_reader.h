// Reads a spool as its description says, byte by byte, without a line of the station's own code: throws where anything
// is not as described.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace vialsight::test {

struct SpoolEntry {
  std::uint32_t kind = 0;  // 1 start, 2 strip, 3 pictures, 4 gap, 5 command, 6 event
  std::uint64_t seq = 0;
  std::int64_t unix_ns = 0;
  std::string payload;

  [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(payload); }
};

template <typename T>
T field_of(const std::string& bytes, std::size_t offset) {
  T value{};
  if (offset + sizeof(T) > bytes.size()) throw std::runtime_error("ends within a field");
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// One bit after another.
inline std::uint32_t slow_crc32(const std::string& bytes) {
  std::uint32_t value = 0xFFFFFFFFU;
  for (const char byte : bytes) {
    value ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1U) ^ ((value & 1U) * 0xEDB88320U);
  }
  return ~value;
}

inline std::string bytes_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<std::filesystem::path> segments_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> segments;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) segments.push_back(entry.path());
  std::sort(segments.begin(), segments.end());
  return segments;
}

inline void require_that(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

// Appends the entries of one segment; `next` is the seq that the first one must have, 0: any.
inline void read_segment(const std::filesystem::path& path, std::uint64_t& next, std::vector<SpoolEntry>& entries) {
  const std::string bytes = bytes_of_file(path);
  require_that(bytes.substr(0, 8) == "VSSPOOL1", "magic of a segment");
  require_that(field_of<std::uint32_t>(bytes, 24) == 0, "zero field");
  require_that(field_of<std::uint32_t>(bytes, 28) == slow_crc32(bytes.substr(0, 28)), "checksum of a segment");
  const auto first = field_of<std::uint64_t>(bytes, 8);
  require_that(next == 0 || first == next, "first seq of a segment");
  require_that(std::stoull(path.stem().string()) == first && path.stem().string().size() == 20, "name of a segment");
  next = first;
  for (std::size_t at = 32; at < bytes.size();) {
    require_that(bytes.substr(at, 4) == "VSE1", "magic of an entry");
    SpoolEntry entry{field_of<std::uint32_t>(bytes, at + 4), field_of<std::uint64_t>(bytes, at + 8),
                     field_of<std::int64_t>(bytes, at + 16), ""};
    const auto size = static_cast<std::size_t>(field_of<std::uint64_t>(bytes, at + 24));
    require_that(field_of<std::uint32_t>(bytes, at + 36) == slow_crc32(bytes.substr(at, 36)), "checksum of a header");
    require_that(bytes.size() - at - 40 >= size, "a whole payload");
    entry.payload = bytes.substr(at + 40, size);
    require_that(field_of<std::uint32_t>(bytes, at + 32) == slow_crc32(entry.payload), "checksum of a payload");
    require_that(entry.seq == next++, "seq goes up by one");
    entries.push_back(entry);
    at += 40 + size;
  }
}

inline std::vector<SpoolEntry> read_spool(const std::filesystem::path& folder) {
  std::vector<SpoolEntry> entries;
  std::uint64_t next = 0;
  for (const auto& segment : segments_of(folder)) read_segment(segment, next, entries);
  return entries;
}

}  // namespace vialsight::test
