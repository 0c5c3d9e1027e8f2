"""A Starlette application that serves its event log next to its own routes.

    uvicorn --app-dir examples asgi_app:app

Run as a script, it sends requests to itself and prints the responses.
"""

from __future__ import annotations

import asyncio
import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from otel_kcevents import Window, allocation, configure, make_asgi_app

COSTS = {"shop": "4.61", "batch": "0.21", "reports": "2.66"}


@allocation.load
async def load_allocations(window: Window) -> dict[str, str]:
    await asyncio.sleep(0)
    if window.contains("2025-03-02T12:00:00Z"):
        raise ConnectionError("the cost database does not respond")
    return COSTS


async def get_allocations(request: Request) -> JSONResponse:
    """`GET /allocations?window=...`, in any window format of the Events API."""
    try:
        return JSONResponse(await load_allocations(Window.parse(request.query_params.get("window", "yesterday"))))
    except ValueError as error:
        return JSONResponse({"message": str(error)}, 400)
    except ConnectionError as error:
        return JSONResponse({"message": str(error)}, 503)


configure(service_name="asgi-app")
app = Starlette(routes=[Route("/allocations", get_allocations), Mount("/", make_asgi_app())])


async def main() -> None:
    from httpx import ASGITransport, AsyncClient  # only for the demonstration; the application does not need it

    async with AsyncClient(transport=ASGITransport(app), base_url="http://shop") as client:
        for day in (1, 2):
            window = f"2025-03-{day:02}T00:00:00Z,2025-03-{day + 1:02}T00:00:00Z"
            print((await client.get("/allocations", params={"window": window})).text)
        print((await client.get("/allocations?window=sometime")).text)
        print(json.dumps((await client.get("/model/etl/log")).json(), indent=2))


if __name__ == "__main__":
    asyncio.run(main())
