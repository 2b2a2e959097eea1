"""What can be typed: names, options and help, nothing else.

A command imports what it works with in its body: `topline version` or `--help` should not wait for DuckDB, PyArrow and
FastAPI, which take more than a second of CPU to import.
"""
