"""The loops of the live engine's state, compiled once a machine: few, and general. The operators over them stay Python."""
