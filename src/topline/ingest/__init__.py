"""Sources to Kafka: by Debezium in Kafka Connect."""
