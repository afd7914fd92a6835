"""The unrolled engine: constant weights as adders, a picture per clock."""
