"""Whose traffic it was: facts with their time, and what they come to. Pure, but for the contract of who learns them."""
