"""Captures in, whole files out, compared byte for byte."""
