"""What was counted, added up for people."""
