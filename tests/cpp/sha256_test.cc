#include "base/sha256.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace vialsight {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

struct Vector {
  std::string message;
  const char* digest;
};

class Sha256Vectors : public testing::TestWithParam<Vector> {};

TEST_P(Sha256Vectors, Digest) { EXPECT_EQ(sha256_hex(bytes_of(GetParam().message)), GetParam().digest); }

// NIST, "Secure Hashing: example values" and the long-message vector of FIPS 180-2, appendix B.3.
INSTANTIATE_TEST_SUITE_P(
    Nist, Sha256Vectors,
    testing::Values(Vector{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                    Vector{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                    Vector{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
                    Vector{"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlm"
                           "nopqrsmnopqrstnopqrstu",
                           "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
                    Vector{std::string(1000000, 'a'),
                           "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}));

// From Python's hashlib: lengths around the ends of the padding and of a block.
INSTANTIATE_TEST_SUITE_P(
    Padding, Sha256Vectors,
    testing::Values(Vector{std::string(55, 'a'), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
                    Vector{std::string(56, 'a'), "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
                    Vector{std::string(63, 'a'), "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
                    Vector{std::string(64, 'a'), "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
                    Vector{std::string(65, 'a'), "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
                    Vector{std::string(119, 'a'), "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"},
                    Vector{std::string(120, 'a'), "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"}));

TEST(Sha256, AnyCutOfTheMessageGivesTheSameDigest) {
  std::string message;
  for (int i = 0; i < 300; ++i) message += static_cast<char>(i * 7);
  const std::string whole = sha256_hex(bytes_of(message));
  for (std::size_t piece = 1; piece <= message.size(); ++piece) {
    Sha256 hash;
    for (std::size_t at = 0; at < message.size(); at += piece) hash.update(bytes_of(message.substr(at, piece)));
    std::string hex;
    for (const std::uint8_t byte : hash.finish()) {
      hex += "0123456789abcdef"[byte / 16];
      hex += "0123456789abcdef"[byte % 16];
    }
    ASSERT_EQ(hex, whole) << "pieces of " << piece;
  }
}

TEST(Sha256, EmptyUpdatesChangeNothing) {
  Sha256 hash;
  hash.update({});
  hash.update(bytes_of("abc"));
  hash.update({});
  EXPECT_EQ(hash.finish()[0], 0xba);
}

}  // namespace
}  // namespace vialsight
