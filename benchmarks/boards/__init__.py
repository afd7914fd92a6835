"""Emulated microcontroller boards: programs built, run, counted."""
