"""The flows of connection tracking at this moment, for people and programs: which, in which order, and as text."""
