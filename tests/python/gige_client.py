"""A GigE Vision client that is none of ours: Aravis by introspection, under the system's Python.

usage: gige_client.py ADDRESS FRAMES TRIGGER     TRIGGER: a trigger source, or off
Prints what it saw as JSON, with a SHA-256 of each frame.
"""

import hashlib
import json
import sys
import time

import gi

gi.require_version("Aravis", "0.8")
from gi.repository import Aravis, GLib  # noqa: E402

PATIENCE_US = 20_000_000


def find(address):
    """The camera at `address`, which may not be there yet."""
    for _ in range(20):
        try:
            return Aravis.Camera.new(address)
        except GLib.Error:
            time.sleep(0.5)
    raise SystemExit(f"no camera at {address}")


def take(camera, count):
    stream = camera.create_stream(None, None)
    payload = camera.get_payload()
    for _ in range(16):
        stream.push_buffer(Aravis.Buffer.new_allocate(payload))
    camera.start_acquisition()
    frames = []
    while len(frames) < count:
        buffer = stream.timeout_pop_buffer(PATIENCE_US)
        if buffer is None:
            break
        if buffer.get_status() == Aravis.BufferStatus.SUCCESS:
            pixels = bytes(buffer.get_data())
            frames.append(
                {
                    "id": buffer.get_frame_id(),
                    "timestamp_ns": buffer.get_timestamp(),
                    "sha256": hashlib.sha256(pixels).hexdigest(),
                }
            )
        stream.push_buffer(buffer)
    camera.stop_acquisition()
    return frames


def main():
    address, count, trigger = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    camera = find(address)
    camera.gv_set_stream_options(Aravis.GvStreamOption.PACKET_SOCKET_DISABLED)
    if trigger != "off":
        camera.set_trigger(trigger)
    _, _, width, height = camera.get_region()
    seen = {
        "width": width,
        "height": height,
        "pixel_format": camera.get_pixel_format_as_string(),
        "serial": camera.get_device_serial_number(),
        "payload": camera.get_payload(),
    }
    print(json.dumps(seen | {"frames": take(camera, count)}))


if __name__ == "__main__":
    main()
