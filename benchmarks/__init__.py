"""Measurements that print their figure, and the peer's in the same run. Nothing here is a test: no time is asserted."""
