"""A main module that sets the plugin up after the definition of one function, and before that of another."""

from otel_kcevents import default_log
from otel_kcevents.plugin.instrumentation import Instrumentation
from otel_kcevents.plugin.mapping import mapping_of


def save_first(rows: list[int]) -> None:
    """A function that is there."""


def instrument() -> Instrumentation:
    """Instrument this module, and what it is going to define."""
    mapping = mapping_of({"functions": [{"target": "__main__:save_*", "record": "allocation.save"}]}, "the program")
    instrumentation = Instrumentation(mapping)
    instrumentation.begin()
    return instrumentation


def calls() -> int:
    """Return the number of recorded calls."""
    return sum(default_log.counts().values())


instrumentation = instrument()
save_first([1])
first = calls()


def save_second(rows: list[int]) -> None:
    """A function that is defined later."""


save_second([1])
print([first, calls() - first])
instrumentation.end()
