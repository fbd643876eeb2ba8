"""pymercure's two publishers: each publishes once and prints the id. Usage: HUB TOPIC...; the token is in TOKEN."""

import importlib
import os
import sys

from pymercure.message import Message
from pymercure.publisher.sync import SyncPublisher

# The module's name has been a keyword of Python since it was written.
AsyncPublisher = importlib.import_module("pymercure.publisher.async").AsyncPublisher

hub, topics = sys.argv[1], sys.argv[2:]
for publisher in (SyncPublisher, AsyncPublisher):
    name = publisher.__name__
    message = Message(topics, f"from {name}\nin two lines", message_id=f"urn:pymercure:{name}", event_type="note", retry=1500)
    print(publisher(hub, os.environ["TOKEN"]).publish(message), flush=True)
