"""Debezium's connectors, as topline.yml says them."""
