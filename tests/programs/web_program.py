"""A program that calls `configure()` and then runs uvicorn with two workers."""

from __future__ import annotations

import uvicorn

import otel_kcevents

if __name__ == "__main__":
    otel_kcevents.configure(service_name="web")
    uvicorn.run("web:asgi", port=0, workers=2)
