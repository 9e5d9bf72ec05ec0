"""Drivers: the wire on one side, the model on the other; one link's trouble stays on that link.

`schedule` decides, in given time and without a socket, what goes out next on one link. `bus` carries that out for any
protocol that offers a `Port`. `modbus` and `opcua` are such protocols. Siblings share `bus` and never import
each other.
"""
