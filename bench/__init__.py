"""Benchmarks: ratios from one run on one machine. `python -m bench --help`; nothing here is a test."""
