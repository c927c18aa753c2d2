"""Formats: bytes of one delivery become rows of text with their physical line.

Here: one module a format. Not here: what a column means or may hold (`contract`, `shape`).
"""
