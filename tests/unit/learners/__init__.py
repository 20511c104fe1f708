"""Learners on real files, with a real ledger."""
