"""Committed intervals as files for other programs: one room for each form, all written once and whole."""
