#include "station/crc32.h"

#include <array>
#include <bit>
#include <cstring>

namespace vialsight::station {
namespace {

static_assert(std::endian::native == std::endian::little, "eight bytes are read as one little-endian word");

constexpr std::size_t kSlices = 8;
using Tables = std::array<std::array<std::uint32_t, 256>, kSlices>;

// tables[k][b]: what byte b does to the checksum when k further bytes follow it.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1U) ^ ((value & 1U) != 0 ? 0xEDB88320U : 0U);
    tables[0][byte] = value;
  }
  for (std::size_t slice = 1; slice < kSlices; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t value = tables[slice - 1][byte];
      tables[slice][byte] = (value >> 8U) ^ tables[0][value & 0xFFU];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t add_eight(std::uint32_t value, const std::byte* bytes) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  word ^= value;
  std::uint32_t result = 0;
  for (std::size_t i = 0; i < kSlices; ++i) result ^= kTables[kSlices - 1 - i][(word >> (8 * i)) & 0xFFU];
  return result;
}

}  // namespace

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  std::uint32_t value = ~before;
  while (bytes.size() >= kSlices) {
    value = add_eight(value, bytes.data());
    bytes = bytes.subspan(kSlices);
  }
  for (const std::byte byte : bytes) {
    value = (value >> 8U) ^ kTables[0][(value ^ static_cast<std::uint32_t>(byte)) & 0xFFU];
  }
  return ~value;
}

}  // namespace vialsight::station
