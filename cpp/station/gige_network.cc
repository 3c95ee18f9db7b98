#include "station/gige_network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <memory>

#include "station/file_descriptor.h"

namespace vialsight::station {
namespace {

struct AddressesDeleter {
  void operator()(ifaddrs* list) const noexcept { ::freeifaddrs(list); }
};

bool is_of(const ifaddrs& entry, const in_addr& wanted) {
  if (entry.ifa_addr == nullptr || entry.ifa_addr->sa_family != AF_INET) return false;
  sockaddr_in address{};
  std::memcpy(&address, entry.ifa_addr, sizeof address);
  return address.sin_addr.s_addr == wanted.s_addr;
}

int mtu_by_name(const char* name) {
  const FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  return ::ioctl(socket.get(), SIOCGIFMTU, &request) == 0 ? request.ifr_mtu : 0;
}

bool is_udp_socket_on(int descriptor, std::uint16_t port) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_DGRAM) return false;
  sockaddr_in address{};
  size = sizeof address;
  return ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
         address.sin_family == AF_INET && ntohs(address.sin_port) == port;
}

// Aravis keeps its sockets to itself.
int find_udp_socket(std::uint16_t port) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const std::string name = entry.path().filename();
    int descriptor = -1;
    std::from_chars(name.data(), name.data() + name.size(), descriptor);
    if (is_udp_socket_on(descriptor, port)) return descriptor;
  }
  return -1;
}

}  // namespace

int mtu_of(const std::string& interface_address) {
  in_addr wanted{};
  if (inet_pton(AF_INET, interface_address.c_str(), &wanted) != 1) return 0;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return 0;
  const std::unique_ptr<ifaddrs, AddressesDeleter> list(first);
  for (const ifaddrs* entry = list.get(); entry != nullptr; entry = entry->ifa_next)
    if (is_of(*entry, wanted)) return mtu_by_name(entry->ifa_name);
  return 0;
}

int enlarge_receive_buffer(std::uint16_t port, int bytes) {
  const int descriptor = find_udp_socket(port);
  if (descriptor < 0) return 0;
  if (::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
    static_cast<void>(::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes));
  int got = 0;
  socklen_t size = sizeof got;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &got, &size) == 0 ? got : 0;
}

}  // namespace vialsight::station
