"""sseclient-py reads one response; the loop around it is ours. Usage: URL"""

import json
import sys
import time

import requests
import sseclient

last_event_id = ""
retry_seconds = 3.0
while True:
    headers = {"Accept": "text/event-stream"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    try:
        with requests.get(sys.argv[1], headers=headers, stream=True, timeout=(10, 60)) as response:
            response.raise_for_status()
            for event in sseclient.SSEClient(response).events():
                # An event without id has none here: the last one stays.
                last_event_id = event.id if event.id is not None else last_event_id
                if event.retry:
                    retry_seconds = int(event.retry) / 1000
                print(json.dumps({"id": last_event_id, "type": event.event, "data": event.data}), flush=True)
    except requests.RequestException as error:
        print("error", error, file=sys.stderr)
    time.sleep(retry_seconds)
