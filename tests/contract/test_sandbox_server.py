"""The sandbox on a socket: faults do what their names say; pictures; the command line."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from sandbox import Fault, Sandbox, SandboxServer, SandboxSettings
from sandbox.commands import main
from sandbox.faults import EFFECTS, WrongFault, parse_fault
from sandbox.sandbox import busiest_second

ROOT = Path(__file__).resolve().parents[2]
CDN = "https://i.etsystatic.com"
KEY = SandboxSettings().key


def grown(**settings: Any) -> Sandbox:
    defaults: dict[str, Any] = {"listings": 60, "shops": 8, "reviews_per_shop": 5, "calls_per_second": 10**6}
    return Sandbox(SandboxSettings(**{**defaults, **settings}))


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer(grown()) as running:
        yield running


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["x-api-key"] = KEY
        yield session


def active(client: requests.Session, server: SandboxServer, timeout: float = 10.0) -> requests.Response:
    return client.get(f"{server.api_url}/listings/active", params={"limit": 10}, timeout=timeout)


# The wire


def test_it_listens_on_a_free_port_of_this_machine_and_keeps_connections(
    server: SandboxServer, client: requests.Session
) -> None:
    assert server.api_url == f"http://127.0.0.1:{server.port}/v3/application"
    bodies = {active(client, server).content for _ in range(3)}
    assert len(bodies) == 1
    assert len(server._open) == 1


def test_the_answer_on_the_wire_is_the_one_given_in_process(server: SandboxServer, client: requests.Session) -> None:
    answer = server.sandbox.handle("GET", "/v3/application/listings/active", {"limit": "10"}, {"x-api-key": KEY})
    sent = active(client, server)
    assert (sent.status_code, sent.content) == (answer.status, answer.body)
    assert sent.headers["x-limit-per-day"] == "5000"
    assert sent.headers["content-type"] == "application/json"


def test_commas_may_come_encoded(server: SandboxServer, client: requests.Session) -> None:
    ids = [row["listing_id"] for row in active(client, server).json()["results"]]
    params = {"listing_ids": ",".join(map(str, ids)), "includes": "Images,Shop"}
    batch = client.get(f"{server.api_url}/listings/batch", params=params, timeout=10)
    assert {row["listing_id"] for row in batch.json()["results"]} == set(ids)


def test_answers_are_packed_only_where_the_settings_and_the_client_agree(client: requests.Session) -> None:
    with SandboxServer(grown(gzip=True)) as server:
        packed = active(client, server)
        client.headers["accept-encoding"] = "identity"
        bare = active(client, server)
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in bare.headers
    assert packed.content == bare.content


def test_latency_is_waited_for_on_the_wire_only(client: requests.Session) -> None:
    with SandboxServer(grown(latency_seconds=0.15)) as server:
        assert active(client, server).elapsed.total_seconds() >= 0.15


# Faults


def test_a_timeout_answers_nothing(server: SandboxServer, client: requests.Session) -> None:
    server.sandbox.faults.add(Fault("timeout", count=1))
    with pytest.raises(requests.ReadTimeout):
        active(client, server, timeout=0.2)
    assert active(client, server).status_code == 200


def test_a_reset_breaks_the_connection(server: SandboxServer, client: requests.Session) -> None:
    server.sandbox.faults.add(Fault("reset", count=1))
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        active(client, server)
    assert active(client, server).status_code == 200


def test_a_cut_body_ends_before_its_length(server: SandboxServer, client: requests.Session) -> None:
    server.sandbox.faults.add(Fault("cut_body", count=1))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        active(client, server)
    assert active(client, server).json()["results"]


def test_a_drip_comes_whole_but_late(server: SandboxServer, client: requests.Session) -> None:
    whole = active(client, server).content
    server.sandbox.faults.add(Fault("drip", count=1, seconds=0.2))
    asked = "GET /v3/application/listings/active?limit=10 HTTP/1.1"
    request = f"{asked}\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n"
    with socket.create_connection((server.host, server.port), 10) as connection:
        connection.sendall(request.encode())
        pieces = list(iter(lambda: connection.recv(1 << 20), b""))
    assert len(pieces) > 3
    assert b"".join(pieces).endswith(whole)


def test_a_slow_answer_is_whole_but_late(server: SandboxServer, client: requests.Session) -> None:
    server.sandbox.faults.add(Fault("slow", count=1, seconds=0.2))
    response = active(client, server)
    assert response.elapsed.total_seconds() >= 0.2
    assert response.json()["results"]


@pytest.mark.parametrize(
    ("name", "status", "content_type", "words"),
    [
        ("html", 200, "text/html", "Please wait"),
        ("server_error", 500, "application/json", '{"error":"Server Error"}'),
        ("bad_gateway", 502, "text/html", "502 Bad Gateway"),
        ("unavailable", 503, "text/html", "busy"),
        ("per_second_429", 429, "application/json", "Exceeded per second rate limit"),
        ("daily_429", 429, "application/json", "Exceeded daily rate limit"),
        ("dead_key", 403, "application/json", "Invalid API key"),
    ],
)
def test_a_fault_that_speaks_says_what_etsy_says(
    server: SandboxServer, client: requests.Session, name: str, status: int, content_type: str, words: str
) -> None:
    server.sandbox.faults.add(Fault(name, count=1))
    response = active(client, server)
    assert response.status_code == status
    assert response.headers["content-type"].startswith(content_type)
    assert words in response.text
    assert server.sandbox.calls[-1].fault == name
    assert active(client, server).status_code == 200


def test_both_429_faults_say_when_to_come_back(server: SandboxServer, client: requests.Session) -> None:
    for name, wait in (("per_second_429", "1"), ("daily_429", "86400")):
        server.sandbox.faults.add(Fault(name, count=1))
        assert active(client, server).headers["retry-after"] == wait
    assert server.sandbox.calls[-1].status == 429


def test_missing_keys_and_nulls_leave_json_with_less_in_it(server: SandboxServer, client: requests.Session) -> None:
    good = active(client, server).json()["results"]
    server.sandbox.faults.add(Fault("missing_keys", count=1))
    lacking = active(client, server).json()["results"]
    assert all(1 <= len(full.keys() - row.keys()) <= 3 for full, row in zip(good, lacking, strict=True))
    assert all("listing_id" in row for row in lacking)
    server.sandbox.faults.add(Fault("nulls", count=1))
    nulled = active(client, server).json()["results"]
    empty = [sum(value is None for value in row.values()) for row in nulled]
    assert sum(empty) > sum(value is None for row in good for value in row.values())


def test_a_zero_count_is_an_empty_market(server: SandboxServer, client: requests.Session) -> None:
    server.sandbox.faults.add(Fault("zero_count", count=1))
    assert active(client, server).json() == {"count": 0, "results": []}


def test_a_poisoned_shop_can_never_be_parsed(server: SandboxServer, client: requests.Session) -> None:
    one, other = list(server.sandbox.truth().shops)[:2]
    server.sandbox.faults.add(Fault("poison", match={"shop_id": str(one)}))
    for _ in range(3):
        answer = client.get(f"{server.api_url}/shops/{one}/reviews", timeout=10)
        assert answer.status_code == 200
        with pytest.raises(requests.JSONDecodeError):
            answer.json()
    assert client.get(f"{server.api_url}/shops/{other}/reviews", timeout=10).json()["count"] >= 0


def test_bare_headers_tell_no_limits(server: SandboxServer, client: requests.Session) -> None:
    server.sandbox.faults.add(Fault("bare_headers", count=1))
    assert not [name for name in active(client, server).headers if name.startswith("x-")]


def test_every_fault_has_a_test_here() -> None:
    tested = set(re.findall(r'Fault\("(\w+)"', Path(__file__).read_text("utf-8")))
    tested |= {
        "html",
        "server_error",
        "bad_gateway",
        "unavailable",
        "per_second_429",
        "daily_429",
        "dead_key",
    }
    assert EFFECTS.keys() <= tested


# Pictures


def _path(url: str) -> str:
    return url.removeprefix(CDN)


def _pictures(sandbox: Sandbox) -> list[str]:
    return [_path(image["url_570xN"]) for images in sandbox.truth().images.values() for image in images]


def test_a_picture_is_served_under_both_forms_of_its_address() -> None:
    with SandboxServer(grown(dead_pictures=0, odd_formats=0)) as server:
        path = _pictures(server.sandbox)[0]
        long = requests.get(server.cdn_url + path, timeout=10)
        short = requests.get(server.cdn_url + path[path.index("/il/") :], timeout=10)
    assert long.status_code == 200
    assert long.content == short.content
    assert long.headers["content-type"] == "image/jpeg"
    assert int(long.headers["content-length"]) == len(long.content)
    assert re.fullmatch(r'"[0-9a-f]{40}"', long.headers["etag"])
    assert Image.open(io.BytesIO(long.content)).width == 570
    assert server.sandbox.calls == []


def test_the_small_forms_are_served_at_their_width() -> None:
    sandbox = grown(dead_pictures=0, odd_formats=0)
    addresses = [_path(row["url_75x75"]) for rows in sandbox.truth().images.values() for row in rows]
    odd = [next(path for path in addresses if part in path) for part in ("/c/", "version=0")]
    for path in odd:
        assert Image.open(io.BytesIO(sandbox.picture(path).body)).width == 75


def test_an_address_that_is_wrong_in_any_part_is_a_404() -> None:
    sandbox = grown(dead_pictures=0)
    path = _pictures(sandbox)[0]
    assert sandbox.picture(path).status == 200
    hex_code, suffix = re.findall(r"/il/([0-9a-f]{6})/.*_(\w{4})\.jpg", path)[0]
    wrong = [
        path.replace(hex_code, "000000"),
        path.replace(f"_{suffix}.", "_zzzz."),
        "/il/x.jpg",
        "/../etc/passwd",
    ]
    wrong.append("/il/000000/9999999999/il_570xN.9999999999_aaaa.jpg")
    assert {sandbox.picture(bad).status for bad in wrong} == {404}


def test_dead_pictures_are_404_or_a_tiny_png() -> None:
    sandbox = grown(dead_pictures=1.0)
    answers = [sandbox.picture(path) for path in _pictures(sandbox)[:30]]
    assert {answer.status for answer in answers} == {200, 404}
    alive = [answer for answer in answers if answer.status == 200]
    assert all(answer.body[:4] == b"\x89PNG" and len(answer.body) < 1024 for answer in alive)


def test_a_jpg_address_may_hold_another_format() -> None:
    sandbox = grown(dead_pictures=0, odd_formats=1.0)
    images = [Image.open(io.BytesIO(sandbox.picture(path).body)) for path in _pictures(sandbox)[:15]]
    assert {image.format for image in images} == {"PNG", "GIF", "WEBP"}


def test_a_picture_is_the_same_each_time_and_differs_from_the_next() -> None:
    paths = _pictures(grown(dead_pictures=0, odd_formats=0))[:6]
    first, again = ([grown(dead_pictures=0, odd_formats=0).picture(path).body for path in paths] for _ in range(2))
    assert first == again
    assert len(set(first)) == len(first)
    assert all(10_000 < len(body) < 90_000 for body in first)


def test_few_drawings_under_many_addresses_still_differ_in_their_bytes() -> None:
    sandbox = grown(dead_pictures=0, odd_formats=0, distinct_pictures=2)
    bodies = [sandbox.picture(path).body for path in dict.fromkeys(_pictures(sandbox)[:12])]
    assert len(set(bodies)) == len(bodies)
    assert len({Image.open(io.BytesIO(body)).tobytes() for body in bodies}) == 2


def test_some_pictures_serve_two_listings_and_some_ids_differ_from_the_address() -> None:
    images = grown(listings=600).truth().images
    addresses = [(row["url_570xN"], row["listing_image_id"]) for rows in images.values() for row in rows]
    assert len({address for address, _ in addresses}) < len(addresses)
    assert any(f"/{number}/" not in address for address, number in addresses)


def test_picture_faults_strike_only_where_they_are_named() -> None:
    sandbox = grown(dead_pictures=0)
    path = _pictures(sandbox)[0]
    sandbox.faults.add(Fault("server_error"))
    assert sandbox.picture(path).status == 200
    sandbox.faults.add(Fault("unavailable", endpoint="picture"))
    assert sandbox.picture(path).status == 503


# Control


def test_control_counts_troubles_and_moves_without_being_a_call(
    server: SandboxServer, client: requests.Session
) -> None:
    active(client, server)
    stats = client.get(f"{server.url}/sandbox/stats", timeout=10).json()
    assert stats["by_endpoint"] == {"findAllListingsActive": {"200": 1}}
    assert stats["max_calls_in_a_second"] == 1
    client.post(f"{server.url}/sandbox/fault", json={"name": "server_error", "count": 1}, timeout=10)
    assert active(client, server).status_code == 500
    assert len(client.post(f"{server.url}/sandbox/move?n=5", timeout=10).json()) == 5
    calls = client.get(f"{server.url}/sandbox/calls?since=1", timeout=10).json()
    assert [call["fault"] for call in calls] == ["server_error"]
    client.post(f"{server.url}/sandbox/quota?per_day=7", timeout=10)
    assert active(client, server).headers["x-limit-per-day"] == "7"
    truth = client.get(f"{server.url}/sandbox/truth", timeout=10).json()
    assert truth["shops"].keys() == {str(shop_id) for shop_id in server.sandbox.truth().shops}


def test_control_says_what_it_cannot_do(server: SandboxServer) -> None:
    bad = requests.post(f"{server.url}/sandbox/fault", json={"name": "earthquake"}, timeout=10)
    assert bad.status_code == 400
    assert "There is no fault 'earthquake'" in bad.json()["error"]
    assert requests.get(f"{server.url}/sandbox/nothing", timeout=10).status_code == 404


def test_the_busiest_second_is_found_wherever_it_lies() -> None:
    assert busiest_second([]) == 0
    assert busiest_second([0.0, 0.2, 0.9, 1.0, 1.1, 5.0]) == 4


# The command line


def test_a_fault_is_read_from_the_command_line_as_it_is_written() -> None:
    fault = parse_fault("server_error:endpoint=getShop,share=0.02,after=10,every=3,count=4,shop_id=12")
    assert fault == Fault("server_error", "getShop", 4, 10, 3, 0.02, {"shop_id": "12"})
    for wrong in ("nothing", "reset:count", "reset:count=x", "reset:share=2"):
        with pytest.raises(WrongFault):
            parse_fault(wrong)


@pytest.mark.parametrize(
    "argv", [["--port", "x"], ["--listings", "0"], ["--fault", "nothing"], ["--port", "99999"], ["--no-such"]]
)
def test_wrong_arguments_leave_with_2_and_one_sentence(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_shows_an_example_and_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "python -m sandbox --port" in shown
    assert all(name in shown for name in EFFECTS)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_as_a_module_says_where_it_is_and_leaves_with_0_when_stopped(stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "sandbox", "--listings", "30", "--shops", "3", "--reviews-per-shop", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        exported = dict(pair.split("=", 1) for pair in line.split()[1:])
        assert list(exported) == ["ETSY_API_URL", "ETSY_CDN_URL", "ETSY_API_KEY"]
        headers = {"x-api-key": exported["ETSY_API_KEY"]}
        ping = requests.get(f"{exported['ETSY_API_URL']}/openapi-ping", headers=headers, timeout=10)
        assert json.loads(ping.content)["application_id"]
        process.send_signal(stop)
        assert process.wait(10) == 0
