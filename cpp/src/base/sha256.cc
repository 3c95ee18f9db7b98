#include "base/sha256.h"

#include <algorithm>
#include <bit>

namespace vialsight {
namespace {

using State = std::array<std::uint32_t, 8>;

constexpr std::size_t kRounds = 64;

// FIPS 180-4 §4.2.2: fractional parts of the cube roots of the first 64 primes.
constexpr std::array<std::uint32_t, kRounds> kRoundConstants = {
    0x428a2f98U, 0x71374491U, 0xb5c0fbcfU, 0xe9b5dba5U, 0x3956c25bU, 0x59f111f1U, 0x923f82a4U, 0xab1c5ed5U,
    0xd807aa98U, 0x12835b01U, 0x243185beU, 0x550c7dc3U, 0x72be5d74U, 0x80deb1feU, 0x9bdc06a7U, 0xc19bf174U,
    0xe49b69c1U, 0xefbe4786U, 0x0fc19dc6U, 0x240ca1ccU, 0x2de92c6fU, 0x4a7484aaU, 0x5cb0a9dcU, 0x76f988daU,
    0x983e5152U, 0xa831c66dU, 0xb00327c8U, 0xbf597fc7U, 0xc6e00bf3U, 0xd5a79147U, 0x06ca6351U, 0x14292967U,
    0x27b70a85U, 0x2e1b2138U, 0x4d2c6dfcU, 0x53380d13U, 0x650a7354U, 0x766a0abbU, 0x81c2c92eU, 0x92722c85U,
    0xa2bfe8a1U, 0xa81a664bU, 0xc24b8b70U, 0xc76c51a3U, 0xd192e819U, 0xd6990624U, 0xf40e3585U, 0x106aa070U,
    0x19a4c116U, 0x1e376c08U, 0x2748774cU, 0x34b0bcb5U, 0x391c0cb3U, 0x4ed8aa4aU, 0x5b9cca4fU, 0x682e6ff3U,
    0x748f82eeU, 0x78a5636fU, 0x84c87814U, 0x8cc70208U, 0x90befffaU, 0xa4506cebU, 0xbef9a3f7U, 0xc67178f2U};

std::uint32_t load_big_endian(const std::byte* bytes) noexcept {
  return (std::to_integer<std::uint32_t>(bytes[0]) << 24U) | (std::to_integer<std::uint32_t>(bytes[1]) << 16U) |
         (std::to_integer<std::uint32_t>(bytes[2]) << 8U) | std::to_integer<std::uint32_t>(bytes[3]);
}

// FIPS 180-4 §6.2.2 step 1.
std::array<std::uint32_t, kRounds> message_schedule(const std::byte* block) noexcept {
  std::array<std::uint32_t, kRounds> w{};
  for (std::size_t t = 0; t < 16; ++t) w[t] = load_big_endian(block + 4 * t);
  for (std::size_t t = 16; t < kRounds; ++t) {
    const std::uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ (w[t - 15] >> 3U);
    const std::uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ (w[t - 2] >> 10U);
    w[t] = w[t - 16] + s0 + w[t - 7] + s1;
  }
  return w;
}

// FIPS 180-4 §6.2.2 steps 2 to 4.
void compress(State& state, const std::byte* block) noexcept {
  const auto w = message_schedule(block);
  auto [a, b, c, d, e, f, g, h] = state;
  for (std::size_t t = 0; t < kRounds; ++t) {
    const std::uint32_t sum1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const std::uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + kRoundConstants[t] + w[t];
    const std::uint32_t sum0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const std::uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const State mixed = {a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < state.size(); ++i) state[i] += mixed[i];
}

}  // namespace

void Sha256::update(std::span<const std::byte> bytes) noexcept {
  const auto waiting = static_cast<std::size_t>(message_bytes_ % kBlockBytes);
  message_bytes_ += bytes.size();
  if (waiting > 0) {
    const std::size_t taken = std::min(kBlockBytes - waiting, bytes.size());
    std::copy_n(bytes.data(), taken, pending_.data() + waiting);
    bytes = bytes.subspan(taken);
    if (waiting + taken < kBlockBytes) return;
    compress(state_, pending_.data());
  }
  for (; bytes.size() >= kBlockBytes; bytes = bytes.subspan(kBlockBytes)) {
    compress(state_, bytes.data());
  }
  std::copy(bytes.begin(), bytes.end(), pending_.begin());
}

std::array<std::uint8_t, 32> Sha256::finish() noexcept {
  // A one bit, zeros up to 8 bytes before a block's end, then the length in bits.
  const std::uint64_t message_bits = message_bytes_ * 8;
  const auto waiting = static_cast<std::size_t>(message_bytes_ % kBlockBytes);
  const std::size_t padding = (waiting < 56 ? 56 : 120) - waiting;
  std::array<std::byte, kBlockBytes + 8> tail{std::byte{0x80}};
  for (std::size_t i = 0; i < 8; ++i) {
    tail[padding + i] = static_cast<std::byte>((message_bits >> (56U - 8U * i)) & 0xffU);
  }
  update(std::span(tail).first(padding + 8));

  std::array<std::uint8_t, 32> digest{};
  for (std::size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24U - 8U * (i % 4)));
  }
  return digest;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  Sha256 hash;
  hash.update(bytes);
  std::string hex;
  for (const std::uint8_t byte : hash.finish()) {
    hex += kDigits[byte >> 4U];
    hex += kDigits[byte & 0xfU];
  }
  return hex;
}

}  // namespace vialsight
