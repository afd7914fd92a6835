"""The processing elements, drawn."""
