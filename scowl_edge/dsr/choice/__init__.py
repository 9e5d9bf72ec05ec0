"""The choice among offers."""
