"""Records in JSON, by columns."""
