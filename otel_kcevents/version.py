"""The version of the package, of its tracer and of its meter."""

__all__ = ["__version__"]

__version__ = "0.1.0"
