"""RADIUS accounting: who has which address, told by the access servers when a session begins and ends."""
