// What the operating system says of the network that a camera's frames come by.
#pragma once

#include <cstdint>
#include <string>

namespace vialsight::station {

// Largest packet that leaves the interface with this IPv4 address whole, headers included; 0: not known.
[[nodiscard]] int mtu_of(const std::string& interface_address);

// Sets the receive buffer of this process' UDP socket on `port`, and returns what it is then, as the kernel counts
// (overhead included); 0: no such socket. The kernel's net.core.rmem_max is heeded unless we may go beyond it.
[[nodiscard]] int enlarge_receive_buffer(std::uint16_t port, int bytes);

}  // namespace vialsight::station
