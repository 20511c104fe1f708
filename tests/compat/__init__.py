"""The old commands, compared with what the originals wrote."""
