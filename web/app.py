"""The pages by their addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from imaging.check import MOST_BYTES
from imaging.files import PictureFiles
from runtime.clock import Clock
from runtime.errors import CrawlError, UserMistake
from runtime.settings import Home
from upkeep.telling import load_alerts
from web import reading
from web.again import arguments_of, try_again
from web.asked import AskedPictures
from web.find import Searching
from web.guard import Guard, Guarded
from web.health import health_context
from web.market import Market, market_context, tables_of
from web.now import now_context
from web.pages import Pages, csv_of
from web.pieces import listing_context, readings_csv, shop_context
from web.standing import Watcher
from web.wanted import read_number, read_wanted

STATIC = Path(__file__).resolve().parent / "static"
LARGEST = 2**63 - 1
KINDS = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png", b"GI": "image/gif", b"RI": "image/webp"}
NOT_OURS = "This form is not of this page, or older than its start. Open it again."
A_DAY = {"cache-control": "private, max-age=86400"}
NO_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><path d="M3 2v4h4v2M3 6v2M3 2h1" fill="none" '
    'stroke="#8a887f" stroke-width=".6"/></svg>'
)


class Site:
    """Answers each address; the database is open and bound, each thread has a connection of its own."""

    def __init__(
        self,
        home: Home,
        clock: Clock,
        pages: Pages,
        guard: Guard,
        watcher: Watcher,
        pictures: PictureFiles,
        asked: AskedPictures,
        searching: Searching,
        market: Market,
    ) -> None:
        self._home = home
        self._clock = clock
        self._asked = asked
        self._searching = searching
        self._market = market
        self._pages = pages
        self._guard = guard
        self._watcher = watcher
        self._pictures = pictures

    def now(self, request: Request) -> Response:
        """The machine, with its present state lit."""
        return self._pages.render("now.html", {"here": "/", **self._now()})

    def live(self, request: Request) -> Response:
        """The part of it that is renewed."""
        return self._pages.render("now_live.html", self._now())

    def _now(self) -> dict[str, Any]:
        return {**now_context(self._watcher.look()), "alerts": load_alerts(self._home)}

    def health(self, request: Request) -> Response:
        """Audit, copies, alerts and failed items."""
        standing = self._watcher.look()
        context = health_context(self._home, standing.told)
        return self._pages.render("health.html", {"here": "/health", "trouble": standing.trouble, **context})

    def ask_to_stop(self, request: Request) -> Response:
        """The question before a stop."""
        return self._pages.render("stop.html", {"here": ""})

    async def stop(self, request: Request) -> Response:
        """Stop the crawl by its KILL file."""
        form = await request.form()
        if not self._guard.is_own_form(form.get("token")):
            return self._pages.refused(403, "Not stopped", NOT_OURS)
        if not self._watcher.look().told.get("running"):
            return self._pages.refused(409, "Not stopped", "No crawl is running.")
        (self._home.root / "KILL").touch()
        return RedirectResponse("/", 303)

    async def again(self, request: Request) -> Response:
        """Have what could not be read tried again."""
        async with request.form(max_files=0) as form:
            if not self._guard.is_own_form(form.get("token")):
                return self._pages.refused(403, "Not tried again", NOT_OURS)
            arguments = arguments_of(form)
        if arguments is None:
            return self._pages.refused(400, "Not tried again", "The form names nothing that can fail.")
        told = await run_in_threadpool(try_again, arguments)
        return self._pages.render("again.html", {"here": "", "lines": told.lines}, told.status)

    def market(self, request: Request) -> Response:
        """The market over time and by kind."""
        return self._pages.render("market.html", {"here": "/market", **market_context(self._market.load())})

    def market_csv(self, request: Request) -> Response:
        """One of its tables as numbers."""
        counted = self._market.load()
        table = tables_of(counted["numbers"] if counted else {}).get(request.path_params["name"])
        if table is None:
            return self._pages.refused(404, "Not found", "There is no such table.")
        return PlainTextResponse(csv_of(table.columns, table.rows), media_type="text/csv")

    def search(self, request: Request) -> Response:
        """Pieces by words, by a picture or like another one."""
        began = self._clock.monotonic()
        context = self._searching.context(read_wanted(request.query_params))
        took = round((self._clock.monotonic() - began) * 1000)
        return self._pages.render("search.html", {"here": "/search", "milliseconds": took, **context})

    async def take_picture(self, request: Request) -> Response:
        """Take in a picture and go to the pieces that look like it."""
        async with request.form(max_files=1) as form:
            if not self._guard.is_own_form(form.get("token")):
                return self._pages.refused(403, "Not taken", NOT_OURS)
            told = form.get("picture")
            body = await told.read() if isinstance(told, UploadFile) else b""
            wanted = read_wanted({name: value for name, value in form.items() if isinstance(value, str)})
        try:
            digest = await run_in_threadpool(self._asked.take, body)
        except UserMistake as mistake:
            return self._pages.refused(400, "Not a picture that can be looked for", mistake.words())
        return RedirectResponse(replace(wanted, picture=digest).address, 303)

    def asked(self, request: Request) -> Response:
        """A picture that somebody looks for."""
        return _picture(self._asked.read(request.path_params["digest"]))

    def go(self, request: Request) -> Response:
        """To the listing or shop with this number."""
        number = read_number(request.query_params.get("number", ""))
        if number is None:
            return self._pages.refused(400, "No number", "A listing or a shop is named by its number.")
        if reading.find_listing(number) is None and reading.find_shop(number) is not None:
            return RedirectResponse(f"/shop/{number}", 303)
        return RedirectResponse(f"/listing/{number}", 303)

    def listing(self, request: Request) -> Response:
        """One listing."""
        context = listing_context(request.path_params["number"])
        if context is None:
            return self._pages.refused(
                404, "Not known", f"No search has shown listing {request.path_params['number']}."
            )
        return self._pages.render("listing.html", {"here": "", **context})

    def alike(self, request: Request) -> Response:
        """The part of its page with pieces that look like it."""
        return self._pages.render("alike.html", self._searching.beside(request.path_params["number"]))

    def listing_csv(self, request: Request) -> Response:
        """Its readings as numbers."""
        number = request.path_params["number"]
        name = {"content-disposition": f'attachment; filename="listing-{number}.csv"'}
        return PlainTextResponse(readings_csv(number), media_type="text/csv", headers=name)

    def shop(self, request: Request) -> Response:
        """One shop."""
        number = request.path_params["number"]
        context = shop_context(number, read_number(request.query_params.get("after", "")) or 0)
        if context is None:
            return self._pages.refused(404, "Not known", f"No listing of shop {number} was seen.")
        return self._pages.render("shop.html", {"here": "", **context})

    def picture(self, request: Request) -> Response:
        """One picture, as it was downloaded."""
        number = request.path_params["number"]
        return _picture(self._pictures.read_downloaded([number]).get(number))

    def primary(self, request: Request) -> Response:
        """The picture of a listing."""
        number = request.path_params["number"]
        path = self._pictures.find_primary(number)
        if path is not None:
            return _picture(_read(path))
        first = reading.first_image(number)
        return _picture(None if first is None else self._pictures.read_downloaded([first]).get(first))


def build_app(site: Site, pages: Pages, guard: Guard) -> Guarded:
    """Return the application."""
    number = "{number:int}"
    routes = [
        Route("/", site.now),
        Route("/now/live", site.live),
        Route("/health", site.health),
        Route("/stop", site.ask_to_stop, methods=["GET"]),
        Route("/stop", site.stop, methods=["POST"]),
        Route("/again", site.again, methods=["POST"]),
        Route("/market", site.market),
        Route("/market/{name:str}.csv", site.market_csv),
        Route("/search", site.search, methods=["GET"]),
        Route("/search", site.take_picture, methods=["POST"]),
        Route("/asked/{digest:str}", site.asked),
        Route("/go", site.go),
        Route(f"/listing/{number}", _bounded(site.listing, pages)),
        Route(f"/listing/{number}/alike", _bounded(site.alike, pages)),
        Route(f"/listing/{number}/readings.csv", _bounded(site.listing_csv, pages)),
        Route(f"/shop/{number}", _bounded(site.shop, pages)),
        Route(f"/picture/{number}", _bounded(site.picture, pages)),
        Route(f"/primary/{number}", _bounded(site.primary, pages)),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]

    def refused(request: Request, error: Exception) -> HTMLResponse:
        status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
        if status == 404:
            return pages.refused(404, "Not found", "There is no such page.")
        return pages.refused(status, "Not taken", f"This request makes no sense: {detail.rstrip('.')}.")

    def in_words(request: Request, error: Exception) -> HTMLResponse:
        return pages.refused(503, "Not now", error.words() if isinstance(error, CrawlError) else str(error))

    app = Starlette(routes=routes, exception_handlers={HTTPException: refused, CrawlError: in_words})
    return Guarded(app, guard)


def _bounded(answer: Callable[[Request], Response], pages: Pages) -> Callable[[Request], Response]:
    """Have numbers that no database takes refused before they come to one."""

    def bounded(request: Request) -> Response:
        if request.path_params["number"] > LARGEST:
            return pages.refused(404, "Not known", "No number is that large.")
        return answer(request)

    return bounded


def _picture(body: bytes | None) -> Response:
    """Return the picture with the kind that its bytes say, or a drawing where there is none."""
    kind = KINDS.get((body or b"")[:2])
    if body is None or kind is None or len(body) > MOST_BYTES:
        return Response(NO_PICTURE, media_type="image/svg+xml", headers={"cache-control": "no-store"})
    return Response(body, media_type=kind, headers=A_DAY)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
