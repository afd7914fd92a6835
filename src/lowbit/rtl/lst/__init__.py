"""The engine for networks of one learned separable transform."""
