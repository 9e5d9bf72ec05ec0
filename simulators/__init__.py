"""Simulated plants: the physics of a region, on real sockets or in virtual time.

- `plant` is the physics: no clock, no socket, the same seed gives the same course; one file a family of models.
- `serving` puts every link of a configuration on a socket, Modbus TCP or OPC-UA, with a control port beside it.
- `world` runs a whole region, daemon's core included, in virtual time.

Nothing here uses the daemon's drivers: registers and nodes are encoded a second time from the same declarations, so
that each side checks the other.
"""
