#include "station/snapshot_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "station/system_error.h"

namespace vialsight::station {
namespace {

constexpr mode_t kOwnerOnly = 0600;

// Whether a station that lives holds the file.
bool is_held(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  return file.valid() && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

Result<FileDescriptor> create_file(const std::string& path, std::size_t bytes) {
  ::unlink(path.c_str());
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly));
  if (!file.valid()) return system_error("snapshot: cannot make '" + path + "'", errno);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return system_error("snapshot: cannot lock '" + path + "'", errno);
  if (const int error = ::posix_fallocate(file.get(), 0, static_cast<off_t>(bytes)); error != 0) {
    ::unlink(path.c_str());
    return system_error("snapshot: '" + path + "' needs " + std::to_string(bytes) + " bytes of shared memory", error);
  }
  return file;
}

SnapshotHeader make_header(const Bundle& bundle, const SnapshotPlan& plan) {
  const Layout& layout = bundle.layout();
  SnapshotHeader header{};
  std::memcpy(header.magic, "VSSNAP01", sizeof header.magic);
  header.total_bytes = plan.total;
  header.frames = static_cast<std::uint32_t>(layout.frames);
  header.vials = static_cast<std::uint32_t>(layout.vial_count());
  header.regions = static_cast<std::uint32_t>(layout.region_count());
  header.patch_size = static_cast<std::uint32_t>(layout.patch_size);
  header.width = static_cast<std::uint32_t>(layout.frame_width);
  header.height = static_cast<std::uint32_t>(layout.frame_height);
  header.bytes_per_pixel = static_cast<std::uint32_t>(bytes_per_pixel(layout));
  header.bit_depth = static_cast<std::uint32_t>(layout.bit_depth);
  header.reasons = kReasonCount;
  header.patches = static_cast<std::uint32_t>(layout.patches_per_strip());
  header.strip_blocks = kStripBlocks;
  header.picture_blocks = kPictureBlocks;
  header.status_offset = plan.status_offset;
  header.status_bytes = sizeof(StatusBlock);
  header.strips_offset = plan.strips_offset;
  header.strip_bytes = plan.strip;
  header.pictures_offset = plan.pictures_offset;
  header.picture_bytes = plan.picture;
  header.live_offset = plan.live_offset;
  header.live_bytes = plan.picture;
  const std::string_view name = cut_utf8(bundle.name(), sizeof header.bundle);
  std::copy(name.begin(), name.end(), header.bundle);
  std::memcpy(header.sha256, bundle.sha256().data(), std::min(bundle.sha256().size(), sizeof header.sha256));
  return header;
}

StripBlockHead make_head(std::uint64_t n, std::uint64_t seq, std::int64_t unix_ns, const StripEntry& entry) noexcept {
  constexpr double kMs = 1e3;
  const StripVerdict& verdict = entry.verdict;
  StripBlockHead head{};
  head.n = n;
  head.seq = seq;
  head.strip_id = entry.strip_id;
  head.unix_ns = unix_ns;
  head.batch = entry.batch;
  head.mode = static_cast<std::uint32_t>(entry.mode);
  head.verdict = static_cast<std::uint8_t>(verdict.verdict);
  head.reason = static_cast<std::uint8_t>(verdict.reason);
  head.gate = static_cast<std::uint8_t>(entry.gate);
  head.flags = entry.pictures == PictureFate::kKept ? 1 : 0;
  head.latency_ms = entry.latency_ms;
  head.slack_ms = entry.slack_ms;
  head.locate_ms = verdict.times.locate_s * kMs;
  head.extract_ms = verdict.times.extract_s * kMs;
  head.infer_ms = verdict.times.infer_s * kMs;
  head.score_ms = verdict.times.score_s * kMs;
  head.after_last_frame_ms = verdict.times.after_last_frame_s * kMs;
  return head;
}

// All of a block but its lock.
template <typename Head>
void store_head(std::byte* block, const Head& head) noexcept {
  constexpr std::size_t kLock = sizeof(std::uint32_t);
  std::array<std::byte, sizeof(Head)> bytes;
  std::memcpy(bytes.data(), &head, sizeof(Head));
  store_bytes(block + kLock, bytes.data() + kLock, sizeof(Head) - kLock);
}

// What a verdict lacks, as one of a strip that was never opened does, is NaN.
void store_floats(std::byte* target, const std::vector<float>& values, std::size_t count) noexcept {
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t i = 0; i < count; ++i) {
    const float value = i < values.size() ? values[i] : kNone;
    store_bytes(target + i * sizeof value, &value, sizeof value);
  }
}

}  // namespace

Result<std::unique_ptr<SnapshotWriter>> SnapshotWriter::create(const std::string& path, const Bundle& bundle) {
  if (is_held(path)) {
    return Status(Code::kFailedPrecondition,
                  "snapshot: a station of this name runs already and writes '" + path + "'; stop it, or use --name");
  }
  ::unlink(path.c_str());  // what a killed one left; both would need room
  const SnapshotPlan plan(bundle.layout());
  const std::string early = path + ".new";
  Result<FileDescriptor> file = create_file(early, plan.total);
  if (!file.ok()) return file.status();
  void* memory = ::mmap(nullptr, plan.total, PROT_READ | PROT_WRITE, MAP_SHARED, file.value().get(), 0);
  if (memory == MAP_FAILED) return system_error("snapshot: cannot map '" + early + "'", errno);
  std::unique_ptr<SnapshotWriter> writer(
      new SnapshotWriter(path, bundle.layout(), std::move(file).value(), static_cast<std::byte*>(memory)));
  const SnapshotHeader header = make_header(bundle, plan);
  store_bytes(writer->memory_, &header, sizeof header);
  if (::rename(early.c_str(), path.c_str()) != 0) return system_error("snapshot: cannot name it '" + path + "'", errno);
  return writer;
}

SnapshotWriter::SnapshotWriter(std::string path, const Layout& layout, FileDescriptor file, std::byte* memory)
    : path_(std::move(path)),
      plan_(layout),
      frames_(static_cast<std::uint32_t>(layout.frames)),
      height_(static_cast<std::uint32_t>(layout.frame_height)),
      row_bytes_(static_cast<std::size_t>(layout.frame_width) * bytes_per_pixel(layout)),
      map_bytes_(layout.pixels_per_patch()),
      vials_(layout.vial_count()),
      regions_(layout.region_count()),
      patches_(layout.patches_per_strip()),
      file_(std::move(file)),
      memory_(memory) {}

SnapshotWriter::~SnapshotWriter() {
  open_.reset();
  ::munmap(memory_, plan_.total);
  ::unlink(path_.c_str());
}

std::byte* SnapshotWriter::block_of(std::size_t offset, std::size_t size, std::uint64_t slot) noexcept {
  return memory_ + offset + size * slot;
}

void SnapshotWriter::write_status(const StatusBlock& status) noexcept {
  StatusBlock shown = status;
  shown.strips_written = strips_;
  shown.pictures_written = pictures_;
  shown.live_written = live_;
  std::byte* block = memory_ + plan_.status_offset;
  const SequenceLock lock(block);
  store_head(block, shown);
}

void SnapshotWriter::write_strip(std::uint64_t seq, std::int64_t unix_ns, const StripEntry& entry) noexcept {
  std::byte* block = block_of(plan_.strips_offset, plan_.strip, strips_ % kStripBlocks);
  const SequenceLock lock(block);
  store_head(block, make_head(strips_, seq, unix_ns, entry));
  for (std::size_t i = 0; i < regions_; ++i) {
    const auto& all = entry.verdict.thresholds;
    const float threshold = i < all.size() ? static_cast<float>(all[i]) : std::numeric_limits<float>::quiet_NaN();
    store_bytes(block + plan_.thresholds + i * sizeof threshold, &threshold, sizeof threshold);
  }
  store_floats(block + plan_.scores, entry.verdict.scores, patches_);
  for (std::size_t i = 0; i < vials_; ++i) {
    const auto& all = entry.verdict.vials;
    store_byte(block + plan_.vials + i, static_cast<std::byte>(i < all.size() ? all[i] : Verdict::kReject));
  }
  for (std::size_t i = 0; i < frames_; ++i) {
    const auto& all = entry.verdict.locations;
    const Location place = i < all.size() ? all[i] : Location();
    const std::array<float, 4> numbers = {place.found ? 1.0F : 0.0F, static_cast<float>(place.pose.dx),
                                          static_cast<float>(place.pose.dy), static_cast<float>(place.pose.turn)};
    store_bytes(block + plan_.locations + i * sizeof numbers, numbers.data(), sizeof numbers);
  }
  ++strips_;
}

void SnapshotWriter::begin(std::byte* block, std::uint64_t& written, std::uint64_t seq,
                           std::uint64_t strip_id) noexcept {
  end_pictures();
  open_.emplace(block);
  block_ = block;
  open_->written = &written;
  open_->head.n = written;
  open_->head.seq = seq;
  open_->head.strip_id = strip_id;
}

void SnapshotWriter::begin_pictures(std::uint64_t seq, std::uint64_t strip_id) noexcept {
  begin(block_of(plan_.pictures_offset, plan_.picture, pictures_ % kPictureBlocks), pictures_, seq, strip_id);
}

void SnapshotWriter::begin_live(std::uint64_t seq, std::uint64_t strip_id) noexcept {
  begin(block_of(plan_.live_offset, plan_.picture, live_ % kLiveBlocks), live_, seq, strip_id);
}

void SnapshotWriter::write_frame(int index, const FrameView& view) noexcept {
  if (!open_ || index < 0 || static_cast<std::uint32_t>(index) >= frames_) return;
  const auto position = static_cast<std::size_t>(index);
  std::byte* target = block_ + sizeof(PictureBlockHead) + position * plan_.frame;
  const auto* row = static_cast<const std::byte*>(view.data);
  for (std::uint32_t y = 0; y < height_; ++y, row += view.row_stride_bytes, target += row_bytes_) {
    store_bytes(target, row, row_bytes_);
  }
  open_->head.frames |= 1U << position;
}

void SnapshotWriter::write_map(const MapHead& head, const std::uint8_t* pixels) noexcept {
  if (!open_ || open_->head.maps == kMaxMaps) return;
  std::byte* target = block_ + plan_.maps + open_->head.maps * plan_.map_stride;
  store_bytes(target, &head, sizeof head);
  store_bytes(target + sizeof head, pixels, map_bytes_);
  ++open_->head.maps;
}

void SnapshotWriter::end_pictures() noexcept {
  if (!open_) return;
  for (std::uint32_t i = 0; i < frames_; ++i) {
    const bool is_there = (open_->head.frames >> i & 1U) != 0;
    if (!is_there) store_zeros(block_ + sizeof(PictureBlockHead) + i * plan_.frame, plan_.frame);
  }
  store_head(block_, open_->head);
  ++*open_->written;
  open_.reset();
}

}  // namespace vialsight::station
