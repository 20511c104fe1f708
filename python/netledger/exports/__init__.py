"""A closed interval as files for other programs."""
