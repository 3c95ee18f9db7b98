#include "base/npy.h"

#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "base/messages.h"
#include "base/unit_pixels.h"

namespace vialsight {
namespace {

static_assert(std::endian::native == std::endian::little, "values are copied as they lie in the file");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kMaxHeaderBytes = 65536;  // the most a version 1.0 header can have
constexpr std::size_t kMaxDimensions = 32;      // NumPy's own limit until 2.0

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::size_t> shape;
};

// Recursive-descent reader of the header: a Python dict with exactly descr, fortran_order and shape, in any order.
// Every step returns false where the text is not what it must be.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  [[nodiscard]] std::optional<Header> parse() {
    if (!take('{')) return std::nullopt;
    for (int entry = 0; entry < 3; ++entry) {
      if (!parse_entry()) return std::nullopt;
      const bool comma = take(',');
      if (!comma && entry < 2) return std::nullopt;
    }
    if (!take('}') || !at_padding()) return std::nullopt;
    return std::move(header_);
  }

 private:
  bool parse_entry() {
    std::string key;
    if (!parse_string(key) || !take(':')) return false;
    if (key == "descr") return once(has_descr_) && parse_string(header_.descr);
    if (key == "fortran_order") return once(has_order_) && parse_bool(header_.fortran_order);
    if (key == "shape") return once(has_shape_) && parse_shape();
    return false;
  }

  bool parse_string(std::string& result) {
    skip_spaces();
    if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"')) return false;
    const std::size_t end = rest_.find(rest_.front(), 1);
    if (end == std::string_view::npos) return false;
    result = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return result.find('\\') == std::string::npos;
  }

  bool parse_bool(bool& result) {
    result = take_word("True");
    return result || take_word("False");
  }

  bool parse_shape() {
    if (!take('(')) return false;
    bool comma = true;
    while (!take(')')) {
      if (!comma || header_.shape.size() == kMaxDimensions || !parse_dimension()) return false;
      comma = take(',');
    }
    // "(3)" is a number in Python, "(3,)" a tuple.
    return header_.shape.size() != 1 || comma;
  }

  bool parse_dimension() {
    skip_spaces();
    std::size_t dimension = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), dimension);
    if (error != std::errc()) return false;
    const auto digits = static_cast<std::size_t>(end - rest_.data());
    if (rest_.front() == '0' && digits > 1) return false;
    rest_.remove_prefix(digits);
    header_.shape.push_back(dimension);
    return true;
  }

  static bool once(bool& seen) { return !std::exchange(seen, true); }

  void skip_spaces() {
    while (rest_.starts_with(' ')) rest_.remove_prefix(1);
  }
  bool take(char expected) {
    skip_spaces();
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take_word(std::string_view expected) {
    skip_spaces();
    if (!rest_.starts_with(expected)) return false;
    rest_.remove_prefix(expected.size());
    return true;
  }
  bool at_padding() {
    skip_spaces();
    return rest_ == "\n";
  }

  std::string_view rest_;
  Header header_;
  bool has_descr_ = false;
  bool has_order_ = false;
  bool has_shape_ = false;
};

// Number of elements; nothing when it does not fit std::size_t, also as bytes.
std::optional<std::size_t> element_count(const std::vector<std::size_t>& shape) {
  constexpr std::size_t kMaxElements = std::numeric_limits<std::size_t>::max() / sizeof(float);
  std::size_t count = 1;
  for (const std::size_t dimension : shape) {
    if (dimension != 0 && count > kMaxElements / dimension) return std::nullopt;
    count *= dimension;
  }
  return count;
}

std::size_t load_little_endian(std::string_view bytes) {
  std::size_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    value |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])) << (8U * i);
  }
  return value;
}

// Splits the file into header text and data.
struct Parts {
  std::string_view header;
  std::string_view data;
};

Result<Parts> split(std::string_view text, const std::string& file_name) {
  const auto wrong = [&](const char* message) { return corrupt(file_name + ": " + message); };
  if (!text.starts_with(kMagic)) {
    return wrong("expected a .npy file, the first bytes are different");
  }
  if (text.size() < kMagic.size() + 2) return wrong("truncated in the version");
  const char major = text[kMagic.size()];
  const char minor = text[kMagic.size() + 1];
  if ((major != 1 && major != 2) || minor != 0) {
    return Status(Code::kUnsupported, file_name + ": expected .npy version 1.0 or 2.0, got " +
                                          std::to_string(static_cast<unsigned char>(major)) + "." +
                                          std::to_string(static_cast<unsigned char>(minor)));
  }
  text.remove_prefix(kMagic.size() + 2);
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  if (text.size() < length_bytes) return wrong("truncated in the header's length");
  const std::size_t header_bytes = load_little_endian(text.substr(0, length_bytes));
  text.remove_prefix(length_bytes);
  if (header_bytes > kMaxHeaderBytes) return wrong("the header is longer than 65536 bytes");
  if (text.size() < header_bytes) return wrong("truncated in the header");
  return Parts{text.substr(0, header_bytes), text.substr(header_bytes)};
}

void copy_floats(std::string_view data, std::vector<float>& values) {
  if (!values.empty()) std::memcpy(values.data(), data.data(), data.size());
}

void divide_pixels(std::string_view data, std::vector<float>& values) {
  const auto* pixels = reinterpret_cast<const std::uint8_t*>(data.data());
  to_unit(std::span(pixels, data.size()), 255.0F, values.data());
}

// What the values of an array may be, and how they become float32.
struct ElementType {
  std::string_view descr;
  std::string_view name;
  std::size_t bytes;
  void (*read)(std::string_view data, std::vector<float>& values);
};

constexpr ElementType kFloat32 = {"<f4", "little-endian float32 ('<f4')", sizeof(float), &copy_floats};
constexpr ElementType kUint8 = {"|u1", "uint8 ('|u1')", 1, &divide_pixels};

// One of `allowed`.
Result<ElementType> type_of(const Header& header, std::span<const ElementType> allowed, const std::string& file_name) {
  std::string expected;
  for (const ElementType& type : allowed) {
    if (header.descr == type.descr) return type;
    expected += std::string(expected.empty() ? "" : " or ") + std::string(type.name);
  }
  return Status(Code::kUnsupported, file_name + ": expected " + expected + ", got '" + printable(header.descr) + "'");
}

Result<NpyArray> parse_npy(std::span<const std::byte> bytes, std::span<const ElementType> allowed,
                           const std::string& file_name) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Result<Parts> parts = split(text, file_name);
  if (!parts.ok()) return parts.status();
  const std::string_view data = parts.value().data;

  std::optional<Header> header = HeaderParser(parts.value().header).parse();
  if (!header) {
    return corrupt(file_name + ": the .npy header is not a dict of descr, fortran_order and shape");
  }
  const Result<ElementType> type = type_of(*header, allowed, file_name);
  if (!type.ok()) return type.status();
  if (header->fortran_order) return Status(Code::kUnsupported, file_name + ": expected C order, got Fortran order");

  const std::optional<std::size_t> count = element_count(header->shape);
  const std::size_t element_bytes = type.value().bytes;
  if (!count || *count * element_bytes != data.size()) {
    const std::string expected =
        count ? std::to_string(*count * element_bytes) + " bytes" : "more bytes than any file has";
    return Status(Code::kDataCorrupt,
                  file_name + ": expected " + expected + " of data for its shape, got " + std::to_string(data.size()));
  }
  NpyArray array{std::move(header->shape), std::vector<float>(*count)};
  type.value().read(data, array.values);
  return array;
}

}  // namespace

Result<NpyArray> parse_npy_f32(std::span<const std::byte> bytes, const std::string& file_name) {
  return parse_npy(bytes, {&kFloat32, 1}, file_name);
}

Result<NpyArray> parse_npy_pixels(std::span<const std::byte> bytes, const std::string& file_name) {
  constexpr std::array kAllowed = {kUint8, kFloat32};
  return parse_npy(bytes, kAllowed, file_name);
}

}  // namespace vialsight
