"""Drop-ins for older programs, without kernel and without root."""
