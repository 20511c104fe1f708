"""Commands of older accounting programs: their arguments and their bytes, this program underneath."""
