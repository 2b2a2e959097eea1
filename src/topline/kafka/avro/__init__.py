"""Records in Avro, by columns."""
