#include "station/gige_camera/loopback_address.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "station/file_descriptor.h"

namespace vialsight::station {
namespace {

constexpr std::uint32_t kLoopbackNetwork = 127U << 24U;
constexpr std::uint16_t kControlPort = 3956;  // GVCP
constexpr std::uint32_t kLoopbackMask = 255U << 24U;

in_addr served{};  // zero: as the interfaces say

void put(sockaddr* address) {
  if (address == nullptr || address->sa_family != AF_INET) return;
  sockaddr_in changed{};
  std::memcpy(&changed, address, sizeof changed);
  changed.sin_addr = served;
  std::memcpy(address, &changed, sizeof changed);
}

bool is_loopback(const ifaddrs& entry) {
  return (entry.ifa_flags & IFF_LOOPBACK) != 0 && entry.ifa_addr != nullptr && entry.ifa_addr->sa_family == AF_INET;
}

}  // namespace

Status serve_on(const std::string& address) {
  in_addr parsed{};
  if (inet_pton(AF_INET, address.c_str(), &parsed) != 1) {
    return {Code::kInvalidArgument, "--address: expected an IPv4 address such as 127.0.0.1, got \"" + address + "\""};
  }
  if ((ntohl(parsed.s_addr) & kLoopbackMask) == kLoopbackNetwork) served = parsed;
  return {};
}

bool is_free_for_camera(const std::string& address) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(kControlPort);
  return inet_pton(AF_INET, address.c_str(), &name.sin_addr) == 1 &&
         ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0;
}

}  // namespace vialsight::station

// Found by Aravis before the C library's, because programs come first.
extern "C" __attribute__((visibility("default"))) int getifaddrs(ifaddrs** list) noexcept {
  using Function = int (*)(ifaddrs**);
  static const auto original = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "getifaddrs"));
  if (original == nullptr) {
    errno = ENOSYS;
    return -1;
  }
  const int result = original(list);
  if (result != 0 || vialsight::station::served.s_addr == 0) return result;
  for (ifaddrs* entry = *list; entry != nullptr; entry = entry->ifa_next) {
    if (!vialsight::station::is_loopback(*entry)) continue;
    vialsight::station::put(entry->ifa_addr);
    vialsight::station::put(entry->ifa_broadaddr);
  }
  return result;
}
