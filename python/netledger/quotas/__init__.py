"""Quotas: what was agreed, what of it is used, and what is done about it. Facts, kernel objects, commands, rules."""
