"""mercure-publisher's two publishers: it makes its own tokens from the key in KEY. Usage: HUB TOPIC..."""

import asyncio
import os
import sys

from mercure_publisher import AsyncMercurePublisher, MercureConfig, MercurePublisher, MercurePublishError

hub, topics = sys.argv[1], sys.argv[2:]


def config(topics):
    return MercureConfig(hub_url=hub, publisher_jwt_key=os.environ["KEY"], publish_topics=topics)


with MercurePublisher(config(topics)) as publisher:
    print(publisher.publish(topics, {"from": "MercurePublisher"}, private=True, type="note"), flush=True)


async def publish():
    publisher = AsyncMercurePublisher(config(["*"]))
    print(await publisher.publish(topics[0], "from AsyncMercurePublisher", id="urn:async"), flush=True)


asyncio.run(publish())

try:
    with MercurePublisher(config(["another"])) as publisher:
        publisher.publish(topics, "not granted")
except MercurePublishError as error:
    print(f"refused {error.status_code}", flush=True)
