"""Appliances whose physics becomes offers: an adapter knows what its device can do, and offers nothing else.

Each is parameters; the state comes in with every call. All are in integers: W, J (levels), thousandths of a degree, ms.
What is offered can be run from any start it allows and with any setpoint inside its bounds, and keeps what the user
wants: enough in the car at departure, a room that stays comfortable, the laundry done in time.
"""

from scowl_edge.dsr.adapters.battery import Battery, BatteryState
from scowl_edge.dsr.adapters.charger import Charger, ChargerState
from scowl_edge.dsr.adapters.machine import Adapter, run
from scowl_edge.dsr.adapters.offering import Frame, stale
from scowl_edge.dsr.adapters.solar import Solar, SolarState
from scowl_edge.dsr.adapters.thermal import Thermal, ThermalState, cold_store, heat_pump
from scowl_edge.dsr.adapters.washer import Washer, WasherState

__all__ = [
    "Adapter",
    "Battery",
    "BatteryState",
    "Charger",
    "ChargerState",
    "Frame",
    "Solar",
    "SolarState",
    "Thermal",
    "ThermalState",
    "Washer",
    "WasherState",
    "cold_store",
    "heat_pump",
    "run",
    "stale",
]
