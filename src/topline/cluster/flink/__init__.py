"""The models as one Flink SQL job: from topics of change events to the result tables."""
