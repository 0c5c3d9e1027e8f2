"""The package's version: of the distribution, the tracer and the meter."""

__all__ = ["__version__"]

__version__ = "0.1.0"
