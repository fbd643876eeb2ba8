"""httpx-sse in the loop of its README, less what that loop gives up at. Usage: URL

The README retries on httpx.ReadError alone, ten times and for 45 seconds in all. A server that is killed is a RemoteProtocolError,
one that is away a ConnectError, and a stream that ends well is the end of the loop.
"""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse
from stamina import retry


def iter_sse_retrying(client, method, url):
    last_event_id = ""
    reconnection_delay = 0.0

    @retry(on=httpx.TransportError, attempts=None, timeout=None)
    def _iter_sse():
        nonlocal last_event_id, reconnection_delay
        time.sleep(reconnection_delay)
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        with connect_sse(client, method, url, headers=headers) as event_source:
            for sse in event_source.iter_sse():
                last_event_id = sse.id
                if sse.retry is not None:
                    reconnection_delay = sse.retry / 1000
                yield sse

    while True:
        yield from _iter_sse()


with httpx.Client() as client:
    for sse in iter_sse_retrying(client, "GET", sys.argv[1]):
        print(json.dumps({"id": sse.id, "type": sse.event, "data": sse.data}), flush=True)
