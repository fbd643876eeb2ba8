"""A link between this network namespace and another, made of two TUN devices: what netem would do, in user space.

Usage: slow-link.py NAMESPACE HERE THERE (addresses). Reads commands, one a line: `delay MS` (one way), `loss FRACTION`,
`cut` (nothing passes), `heal`, `forget` (the TCP connections there are pass nothing any more, as behind a NAT that has lost
them; new ones do). Says `ready` when the link is up. The devices go when it ends.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000
TCP = 6


def tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def ip(*args):
    subprocess.run(["ip", *args], check=True)


def flow(packet):
    """The two ports of a TCP packet, whichever way it goes; None for others."""
    if packet[0] >> 4 != 4 or packet[9] != TCP:
        return None
    start = (packet[0] & 15) * 4
    return frozenset(struct.unpack_from("!HH", packet, start))


def main(namespace, here, there):
    # Names of devices have at most 15 characters.
    names = [f"twl{os.getpid()}{end}" for end in "ab"]
    devices = [tun(name) for name in names]
    ip("link", "set", names[1], "netns", namespace)
    ip("addr", "add", here, "peer", there, "dev", names[0])
    ip("link", "set", names[0], "up")
    ip("-n", namespace, "addr", "add", there, "peer", here, "dev", names[1])
    ip("-n", namespace, "link", "set", names[1], "up")
    ip("-n", namespace, "link", "set", "lo", "up")
    print("ready", flush=True)

    delay, loss, is_cut = 0.0, 0.0, False
    known, forgotten = set(), set()
    counts = {"passed": 0, "lost": 0}
    waiting = []
    number = 0
    commands = b""
    while True:
        timeout = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _, _ = select.select([*devices, 0], [], [], timeout)
        if 0 in ready:
            more = os.read(0, 4096)
            if not more:
                return
            *lines, commands = (commands + more).split(b"\n")
            for command, *rest in (line.decode().split() for line in lines):
                if command == "delay":
                    delay = float(rest[0]) / 1000
                elif command == "loss":
                    loss = float(rest[0])
                elif command in ("cut", "heal"):
                    is_cut = command == "cut"
                elif command == "forget":
                    forgotten |= known
                print(f"done {command}: {counts['passed']} packets passed, {counts['lost']} lost, {len(forgotten)} connections forgotten", flush=True)
        for end, device in enumerate(devices):
            if device not in ready:
                continue
            packet = os.read(device, 65536)
            of = flow(packet)
            if of:
                known.add(of)
            if is_cut or of in forgotten or random.random() < loss:
                counts["lost"] += 1
                continue
            counts["passed"] += 1
            number += 1
            heapq.heappush(waiting, (time.monotonic() + delay, number, devices[1 - end], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(waiting)
            try:
                os.write(device, packet)
            except OSError:
                # As a full queue does.
                counts["lost"] += 1


main(*sys.argv[1:])
