"""The version, known to every layer: files say which one wrote them."""

__version__ = "0.1.0"
