"""Apache Kafka: topics, producers, consumers, the schema registry, and the one wire format, the Debezium change event."""
