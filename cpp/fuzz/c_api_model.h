// What fuzz_c_api knows of the objects it made, and memory of exactly the size a call is told.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "bundle_writer.h"
#include "fuzz_input.h"
#include "temporary_folder.h"
#include "vialsight/c_api.h"

namespace vialsight::fuzz {

inline constexpr std::int32_t kFrames = 2;  // of the small line, 40×30

inline std::int64_t take_deadline(Input& input) {
  const auto choice = input.take<std::uint8_t>();
  if (choice == 0) return vialsight_now_ns();
  if (choice == 1) return INT64_MIN;
  if (choice == 2) return input.take<std::int32_t>();
  return choice % 2 == 0 ? VIALSIGHT_NO_DEADLINE : vialsight_now_ns() + 10'000'000'000;
}

// `images` keeps the pixels.
inline vialsight_frame take_frame(Input& input, std::vector<std::vector<unsigned char>>& images) {
  const auto changes = input.take<std::uint8_t>();
  const std::size_t stride = (changes & 1U) != 0 ? 64 : 40;
  images.emplace_back(stride * 30);
  std::vector<unsigned char>& pixels = images.back();
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<unsigned char>(i % 7);
  // The same pixels again where the input says so.
  const std::size_t number = (changes & 2U) != 0 ? 0 : images.size();
  pixels[0] = static_cast<unsigned char>(number % 128);
  pixels[1] = static_cast<unsigned char>(number / 128);
  vialsight_frame frame = {};
  frame.data = (changes & 4U) != 0 && (changes & 8U) != 0 ? nullptr : pixels.data();
  frame.row_stride_bytes = (changes & 16U) != 0 && (changes & 4U) != 0 ? -40 : static_cast<std::int64_t>(stride);
  frame.width = (changes & 32U) != 0 && (changes & 4U) != 0 ? 39 : 40;
  frame.height = 30;
  frame.format = (changes & 64U) != 0 && (changes & 4U) != 0 ? input.take<std::int32_t>() : VIALSIGHT_GRAY8;
  frame.reserved = changes == 255 ? 1 : 0;
  return frame;
}

inline vialsight_stamp take_stamp(Input& input, std::uint64_t strip_id, std::int32_t index) {
  const auto changes = input.take<std::uint8_t>();
  vialsight_stamp stamp = {};
  stamp.strip_id = (changes & 1U) != 0 ? input.take<std::uint8_t>() : strip_id;
  stamp.exposed_ns = (changes & 2U) != 0 ? input.take<std::int64_t>() : vialsight_now_ns();
  stamp.frame_index = (changes & 4U) != 0 ? input.take<std::int8_t>() : index;
  stamp.reserved = changes == 255 ? 1 : 0;
  return stamp;
}

// What is true of a slot, as far as its caller can know.
struct Slot {
  bool open = false;
  bool refused = false;  // a call about this strip failed
  std::array<bool, kFrames> taken = {};
};

struct InspectorModel {
  vialsight_inspector* handle = nullptr;
  bool alive = true;
  bool driven = false;
  Slot slot;
  std::uint64_t accepted = 0;
};

struct HandshakeModel {
  vialsight_handshake* handle = nullptr;
  bool alive = true;
  std::size_t inspector = 0;  // index
  std::uint64_t triggers = 0;
  std::uint64_t accepted = 0;
};

// The bundle of all inputs, written once.
struct World {
  vialsight::test::TemporaryFolder folder;
  std::string path = (folder.path() / "small.vsb").string();
  vialsight_bundle* bundle = nullptr;

  World() {
    vialsight::test::BundleWriter().write(path);
    require(vialsight_bundle_load(path.c_str(), &bundle) == VIALSIGHT_OK, "the small bundle loads");
  }
};

inline World& world() {
  static World instance;
  return instance;
}

// A struct in memory of exactly the size it claims, where that is one; else of its own.
template <typename T>
class Sized {
 public:
  explicit Sized(Input& input, const T& value = {}) {
    constexpr std::array<std::uint64_t, 6> kSizes = {0, 8, 16, sizeof(T) + 16, 12, UINT64_MAX};
    const auto choice = input.take<std::uint8_t>();
    const std::uint64_t size = choice < kSizes.size() ? kSizes[choice] : sizeof(T);
    is_null_ = choice == kSizes.size();
    readable_ = size % 8 == 0 && size >= 8 && size <= 4096;
    bytes_.resize(readable_ ? size : sizeof(T), choice % 2 == 0 ? std::byte{0} : std::byte{1});
    std::memcpy(bytes_.data(), &value, std::min(bytes_.size(), sizeof(T)));
    std::memcpy(bytes_.data(), &size, sizeof size);
  }
  [[nodiscard]] T* get() { return is_null_ ? nullptr : static_cast<T*>(static_cast<void*>(bytes_.data())); }
  // All fields of T were there to be read and written.
  [[nodiscard]] bool whole() const { return !is_null_ && readable_ && bytes_.size() >= sizeof(T); }
  [[nodiscard]] T value() const {
    T value = {};
    std::memcpy(&value, bytes_.data(), std::min(bytes_.size(), sizeof(T)));
    return value;
  }

 private:
  std::vector<std::byte> bytes_;
  bool is_null_ = false;
  bool readable_ = false;
};

// An array of exactly `count` values; a count that no memory holds comes with none.
template <typename T>
struct Array {
  explicit Array(Input& input, std::uint64_t expected) {
    const auto choice = input.take<std::uint8_t>();
    count = choice == 0 ? UINT64_MAX : choice == 1 ? expected + 1 : choice == 2 ? 0 : expected;
    values.resize(choice == 0 ? 0 : count);
    is_null = choice == 3;
  }
  [[nodiscard]] T* get() { return is_null ? nullptr : values.data(); }

  std::vector<T> values;
  std::uint64_t count = 0;
  bool is_null = false;
};

// The same of a slot, after a call.
inline void opened(Slot& slot, bool ok) {
  if (ok) {
    slot = Slot();
    slot.open = true;
  } else {
    slot.refused = true;
  }
}
inline void submitted(InspectorModel* model, std::int32_t index, bool ok) {
  if (model == nullptr) return;
  Slot& slot = model->slot;
  if (!ok) slot.refused = true;
  if (!ok) return;
  require(slot.open && index >= 0 && index < kFrames, "only a frame of an open slot is taken");
  require(!slot.taken[static_cast<std::size_t>(index)], "a frame is taken once");
  slot.taken[static_cast<std::size_t>(index)] = true;
}
// The verdict on a slot that was ended, or on none.
inline void ended(InspectorModel* model, vialsight_status status, const Sized<vialsight_verdict>& verdict) {
  if (!verdict.whole()) return;
  const vialsight_verdict came = verdict.value();
  const bool accepted = came.verdict == VIALSIGHT_ACCEPT;
  require(accepted || came.verdict == VIALSIGHT_REJECT, "a verdict is one of two");
  require(accepted == (came.reason == VIALSIGHT_REASON_NONE), "a reject has a reason, an accept has none");
  require(!accepted || status == VIALSIGHT_OK, "a failed call leaves a reject");
  if (!accepted) return;
  require(model != nullptr, "only an inspector accepts");
  const bool all = std::all_of(model->slot.taken.begin(), model->slot.taken.end(), [](bool taken) { return taken; });
  require(model->slot.open && all && !model->slot.refused, "a strip is accepted only when all of it was taken");
  ++model->accepted;
}

}  // namespace vialsight::fuzz
