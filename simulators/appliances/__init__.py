"""Appliances that negotiate: the physics of the adapters stepped in time, and homes full of them by seed."""
