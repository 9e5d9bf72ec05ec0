"""How simulated devices and the fault proxy speak: frames, what faults make of them, and when their bytes leave.

- `frames` cuts streams of Modbus TCP and of serial lines into frames.
- `mischief` is what faults make of a request and its reply: pure, no socket, no clock.
- `outlet` sends bytes when they are due, spaced as a serial line would; `ends` are the sockets and serial ports.
- `record` is the log of what was answered.

Nothing here is shared with the daemon's drivers: each side checks the other.
"""
