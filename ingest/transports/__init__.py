"""Transports: where deliveries are found and how their bytes are fetched.

Here: one module a transport. Not here: what the bytes say (`formats`).
"""
