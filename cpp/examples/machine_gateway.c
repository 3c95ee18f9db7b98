// Stands between a machine and its station: triggers in, the gate out. The gate rests at reject.
//
// usage: machine_gateway DIR/run/machine.sock    a line on stdin is a product; "gate 1" on stdout opens the gate
// Put your inputs and outputs into product_came() and set_gate(). Little-endian machines, as the station's packets are.
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAGIC = 0x314d5356, TRIGGER = 1, ACKNOWLEDGE = 2, PATIENCE_MS = 300 };  // signals come every 100 ms
struct request {
  uint32_t magic, type;
  uint64_t strip_id;
  int64_t time_ns;
  uint64_t count, zero[4];
};
struct signals {
  uint32_t magic, type;
  uint64_t strip_id, heartbeat;
  uint8_t ready, busy, result_valid, accept, reason, mode;
  uint16_t zero;
  uint32_t hindrance, more_zero;
  uint64_t triggers, accepted, last_zero;
};

static int product_came(void) {
  char line[256];
  return fgets(line, sizeof line, stdin) != NULL;
}
static void set_gate(int open) {
  static int is = -1;
  if (open != is) printf("gate %d\n", is = open), fflush(stdout);
}

static int connected(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const int station = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  if (station >= 0 && connect(station, (struct sockaddr*)&address, sizeof address) == 0) return station;
  if (station >= 0) close(station);
  return -1;
}

int main(int argc, char** argv) {
  int station = -1;
  uint64_t strip = 0;
  if (argc != 2 || strlen(argv[1]) >= sizeof((struct sockaddr_un*)0)->sun_path) {
    fprintf(stderr, "usage: machine_gateway DIR/run/machine.sock    a path of at most 107 bytes\n");
    return 2;
  }
  setvbuf(stdin, NULL, _IONBF, 0);  // so that poll() knows of every line
  for (set_gate(0);;) {
    if (station < 0) station = connected(argv[1]);
    struct pollfd waited[2] = {{STDIN_FILENO, POLLIN, 0}, {station, POLLIN, 0}};
    const int found = poll(waited, 2, PATIENCE_MS);
    if (found <= 0) set_gate(0);  // no word of the station: nobody vouches for what comes
    if (waited[0].revents) {
      if (!product_came()) break;
      set_gate(0);  // until its own verdict is here
      const struct request trigger = {MAGIC, TRIGGER, ++strip, 0, strip, {0}};
      if (station >= 0) (void)!send(station, &trigger, sizeof trigger, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (station < 0 || !waited[1].revents) continue;
    struct signals now;
    if (recv(station, &now, sizeof now, MSG_DONTWAIT) != sizeof now || now.magic != MAGIC) {
      set_gate(0), close(station), station = -1;
    } else if (now.result_valid && now.strip_id == strip) {
      const struct request taken = {MAGIC, ACKNOWLEDGE, strip, 0, 0, {0}};
      set_gate(now.accept);
      (void)!send(station, &taken, sizeof taken, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }
  set_gate(0);
  return 0;
}
