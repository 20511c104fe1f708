"""What netledger promises, as programs that fail when it does not hold."""
