"""Loops over records of Kafka, compiled once a machine."""
