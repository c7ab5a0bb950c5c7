"""Measurements beside other libraries; each module runs alone: `python -m benchmarks.NAME`."""
