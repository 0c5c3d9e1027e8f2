"""A module that ends its program when it is imported."""

raise SystemExit(3)
