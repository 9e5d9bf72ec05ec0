"""Benchmarks: programs that print tables. `python -m bench` runs them all; each has --help.

A figure is CPU of the measured process, as the median of interleaved pairs with a reference, its spread beside it; the
load generator sits on the other core where the system allows it.
"""
