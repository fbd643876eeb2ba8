"""httpx-sse in the loop of its README, to the letter: what it gives up at is why httpx_sse_loop.py differs. Usage: URL"""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse
from stamina import retry


def iter_sse_retrying(client, method, url):
    last_event_id = ""
    reconnection_delay = 0.0

    @retry(on=httpx.ReadError)
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

    return _iter_sse()


with httpx.Client() as client:
    for sse in iter_sse_retrying(client, "GET", sys.argv[1]):
        print(json.dumps({"id": sse.id, "type": sse.event, "data": sse.data}), flush=True)
