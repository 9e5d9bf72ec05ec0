"""Flexibility, pure: state machines, appliances, energy managers and providers, and the choice among offers.

PAS 1878-style. No socket, no file, no clock: whoever owns a machine passes in what was told and what time it is, and
carries out what comes back. Messages are those of `model.exchange`; the wire is in `drivers/flex`.
"""
