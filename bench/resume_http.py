#!/usr/bin/env python3
"""How long a client waits for its first replayed event over HTTP, beside the number of events stored.

Fill a directory for each size, build the hub, then name the directories:

    cargo xtask bench log-disk resume 10000 /tmp/small
    cargo xtask bench log-disk resume 10000000 /tmp/large
    cargo build --release -p tidewire
    python3 bench/resume_http.py /tmp/small /tmp/large

Each round connects to each hub, subscribes to every topic after a random event, and waits for the event after it. Loopback only;
1,500 rounds in turn, so that both hubs see the same machine. Prints medians in microseconds, and their ratio to the first one's.
"""

import random
import re
import socket
import statistics
import subprocess
import sys
import time

HUB = "target/release/tidewire"
ROUNDS = 1500


def start(directory):
    command = [HUB, "serve", "--listen", "127.0.0.1:0", "--retention-bytes", "1TiB", "--data-dir", directory]
    hub = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ready = hub.stdout.readline()
    if not ready:
        sys.exit(hub.stderr.read())
    for line in hub.stderr:
        newest = re.search(r"newest #(\d+)-(\d+)", line)
        if newest:
            return hub, int(ready.rsplit(":", 1)[1]), newest[1], int(newest[2])
    sys.exit(f"{directory} holds no events")


def resume_us(port, epoch, last):
    after = random.randrange(1, last)
    wanted = f"id: #{epoch}-{after + 1}\n".encode()
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = f"GET /topics/* HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: #{epoch}-{after}\r\n\r\n"
        connection.sendall(head.encode())
        seen = b""
        while wanted not in seen:
            more = connection.recv(65536)
            if not more:
                sys.exit(f"the hub ended the stream: {seen!r}")
            seen += more
    return (time.perf_counter() - begun) * 1e6


def main(directories):
    if not directories:
        sys.exit(__doc__)
    hubs = [start(directory) for directory in directories]
    try:
        rounds = [[resume_us(*hub[1:]) for hub in hubs] for _ in range(ROUNDS)]
    finally:
        for hub, *_ in hubs:
            hub.terminate()
    medians = [statistics.median(times) for times in zip(*rounds)]
    for directory, hub, median in zip(directories, hubs, medians):
        print(f"{directory}: {hub[3]} events, first replayed event after {median:.0f} us ({median / medians[0]:.2f}x)")


main(sys.argv[1:])
