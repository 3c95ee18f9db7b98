// The checksum of the spool: CRC-32 as zlib has it (polynomial 0xEDB88320, reflected).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vialsight::station {

// Of `bytes` behind others whose checksum is `before`; 0: of `bytes` alone.
[[nodiscard]] std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

}  // namespace vialsight::station
