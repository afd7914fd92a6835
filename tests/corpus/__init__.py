"""Networks that nobody here has made: where they come from, and what becomes of them."""
