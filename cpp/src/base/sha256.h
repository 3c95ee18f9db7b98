// SHA-256 (FIPS 180-4), the digest every bundle file is checked with.
//
// Own code, because the TensorFlow wheel exports BoringSSL's symbols: an OpenSSL in the same process would be
// interposed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace vialsight {

// Digest of everything passed to `update`, in any number of pieces. One thread.
class Sha256 {
 public:
  void update(std::span<const std::byte> bytes) noexcept;
  // Ends the message; the object must not be used afterwards.
  [[nodiscard]] std::array<std::uint8_t, 32> finish() noexcept;

 private:
  static constexpr std::size_t kBlockBytes = 64;

  std::array<std::uint32_t, 8> state_{0x6a09e667U, 0xbb67ae85U, 0x3c6ef372U, 0xa54ff53aU,
                                      0x510e527fU, 0x9b05688cU, 0x1f83d9abU, 0x5be0cd19U};
  std::array<std::byte, kBlockBytes> pending_{};  // the first `message_bytes_ % 64` bytes are waiting
  std::uint64_t message_bytes_ = 0;
};

// Digest of `bytes` as 64 lower-case hexadecimal digits.
[[nodiscard]] std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace vialsight
