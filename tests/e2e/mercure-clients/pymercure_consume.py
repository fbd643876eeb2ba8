"""pymercure's Consumer: prints what it gets as JSON lines. Usage: HUB TOPIC..."""

import json
import sys

from pymercure.consumer import Consumer


def show(message):
    print(json.dumps({"data": message.data, "id": message.message_id, "type": message.event_type}), flush=True)


Consumer(sys.argv[1], sys.argv[2:], show).start_consumption()
print("connected", flush=True)
