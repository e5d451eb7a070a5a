"""Prints the records of partition 0 of a topic as JSON lines, read-committed, up to its end: read_topic.py SERVERS TOPIC

A line has `topic`, `partition`, `offset`, `key` and `value`, as `lakehouse log` prints them; of an event with its schema, the payload. The client is
Confluent's for Python.
"""

import json
import sys

from confluent_kafka import Consumer, KafkaError, TopicPartition


def parse(data):
    value = None if data is None else json.loads(data)
    with_schema = isinstance(value, dict) and set(value) == {"schema", "payload"}
    return value["payload"] if with_schema else value


def main():
    servers, topic = sys.argv[1:]
    consumer = Consumer({
        "bootstrap.servers": servers, "group.id": "read-topic", "isolation.level": "read_committed",
        "enable.partition.eof": True, "auto.offset.reset": "error", "enable.auto.commit": False, "check.crcs": True,
    })
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        while True:
            message = consumer.poll(30)
            if message is None:
                sys.exit("no answer from %s within 30 s" % servers)
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    return
                sys.exit("%s: %s" % (topic, message.error()))
            record = {
                "topic": topic, "partition": 0, "offset": message.offset(),
                "key": parse(message.key()), "value": parse(message.value()),
            }
            print(json.dumps(record, ensure_ascii=False))
    finally:
        consumer.close()


main()
