"""Print in ms how long importing `opentelemetry.trace` and the decorators takes, and `opentelemetry.trace` alone."""

from time import perf_counter


def main() -> None:
    """Import one, then the other; the imports are in here so that nothing is imported before them."""
    start = perf_counter()
    import opentelemetry.trace  # noqa: F401

    alone = perf_counter() - start
    from otel_kcevents import allocation, asset  # noqa: F401

    print([(perf_counter() - start) * 1e3, alone * 1e3])


if __name__ == "__main__":
    main()
