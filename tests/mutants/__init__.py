"""Faults put into the code on purpose, to see that the directed tests notice: `python -m tests.mutants`."""
