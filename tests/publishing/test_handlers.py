"""Every command does what it says, fails in words where it cannot, and leaves nothing half done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from models.publishing import File, Job, PlatformListing, SocialPost
from publishing import files, jobs
from publishing.handlers import HANDLERS
from publishing.metadata import CAPTIONED, Facts, Metadata
from publishing.pictures import Make, Measured
from publishing.platforms import SHOPS, SOCIALS
from publishing.platforms.platform import Artwork, Posted
from publishing.then import chain
from publishing.troubles import TryLater
from runtime.errors import Stopped
from tests.publishing.bench import LISTED, Bench, draw


def test_every_command_of_the_data_model_has_its_handler() -> None:
    assert set(HANDLERS) == set(jobs.COMMANDS) and len(HANDLERS) == 8


def test_a_picture_becomes_a_file_with_its_size_and_shape(bench: Bench, tmp_path: Path) -> None:
    file = bench.file(bench.ingested(draw(tmp_path / "heron.png", 300, 200), species="heron", drive_file_id="d"))
    assert (file.status, file.width, file.height, file.aspect_ratio) == ("ingested", 300, 200, "3:2")
    assert (file.original_filename, file.species, file.drive_file_id) == ("heron.png", "heron", "d")
    original = bench.shelf.get_original(file.id)
    assert original.read_bytes() == (tmp_path / "heron.png").read_bytes()


def test_a_picture_that_lies_on_its_side_is_measured_upright(bench: Bench, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = bench.file(bench.ingested(draw(tmp_path / "phone.jpg", 300, 200, exif=exif)))
    assert (file.width, file.height, file.aspect_ratio) == (200, 300, "2:3")


def test_the_job_that_makes_a_file_belongs_to_it_and_its_file_has_the_job_s_id(bench: Bench) -> None:
    file_id = bench.ingested()
    assert bench.job(file_id).file_id == file_id


def bombs(folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    whole = draw(folder / "whole.png", 90, 90).read_bytes()
    for name, body in {"empty.jpg": b"", "text.jpg": b"no picture", "cut.png": whole[: len(whole) // 2]}.items():
        (folder / name).write_bytes(body)
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    Image.new("L", (8_000, 8_000)).save(folder / "large.png")
    Image.new("L", (9, 9)).save(folder / "strange.bmp")
    return {path.name: path for path in folder.iterdir()}


def test_what_is_no_picture_that_can_be_opened_fails_its_job_and_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    wrong = bombs(tmp_path / "wrong")
    words = {
        "empty.jpg": "is no picture",
        "text.jpg": "is no picture",
        "cut.png": "is damaged",
        "bomb.png": "pixels",
        "large.png": "pixels",
        "strange.bmp": "is no picture",
    }
    ids = {name: bench.enqueue("CreateFileRecord", {"path": str(wrong[name])}) for name in words}
    gone = bench.enqueue("CreateFileRecord", {"path": str(tmp_path / "nowhere.jpg")})
    bench.drain()
    for name, job_id in ids.items():
        assert words[name] in bench.error(job_id)
    assert "There is no file" in bench.error(gone)
    assert File.select().count() == 0 and not bench.shelf.has_pictures()


def test_a_picture_that_changed_since_it_was_ingested_is_not_taken(bench: Bench, tmp_path: Path) -> None:
    path = draw(tmp_path / "a.png")
    job_id = bench.enqueue("CreateFileRecord", {"path": str(path), "digest": "0" * 64})
    bench.drain()
    assert "has changed" in bench.error(job_id)


def test_a_larger_picture_is_made_with_its_dpi_and_the_same_again_when_repeated(bench: Bench, tmp_path: Path) -> None:
    source = draw(tmp_path / "tall.png", 50, 700)
    file_id = bench.ingested(source)
    first = bench.enqueue("UpscaleImage", {"factor": 1.5, "dpi": 240}, file_id)
    bench.drain()
    told = bench.result(first)
    assert (told["width"], told["height"]) == (75, 1050)
    path = bench.shelf.get_processed(told["processed_filename"])
    body = path.read_bytes()
    with Image.open(path) as made, Image.open(source) as original:
        assert made.size == (75, 1050) and [round(value) for value in made.info["dpi"]] == [240, 240]
        plain = original.resize((75, 1050), Image.Resampling.LANCZOS)
        extremes: Any = ImageChops.difference(made, plain).getextrema()
        assert max(high for _, high in extremes) <= 6  # JPEG's own loss
    file = bench.file(file_id)
    assert (file.status, file.width, file.height, file.aspect_ratio) == ("processing", 75, 1050, None)
    bench.enqueue("UpscaleImage", {"factor": 1.5, "dpi": 240}, file_id)
    bench.drain()
    assert path.read_bytes() == body
    assert [found.name for found in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("L", ".jpg"), ("RGB", ".jpg"), ("RGBA", ".png"), ("P", ".jpg"), ("CMYK", ".jpg"), ("LA", ".png")],
)
def test_every_kind_of_picture_is_made_larger(bench: Bench, tmp_path: Path, mode: str, suffix: str) -> None:
    name = "a.tif" if mode == "CMYK" else "a.png"
    file_id = bench.ingested(draw(tmp_path / name, 30, 20, mode))
    bench.enqueue("UpscaleImage", {}, file_id)
    bench.drain()
    assert bench.file(file_id).processed_filename == f"{file_id}{suffix}"


@pytest.mark.parametrize("payload", [{"factor": 0.5}, {"factor": 99}, {"factor": "2"}, {"dpi": 0}, {"dpi": 1.5}])
def test_a_factor_or_dpi_that_cannot_be_fails_the_job_and_leaves_the_file_be(bench: Bench, payload: Any) -> None:
    file_id = bench.ingested()
    job_id = bench.enqueue("UpscaleImage", payload, file_id)
    bench.drain()
    assert "must be" in bench.error(job_id)
    assert bench.file(file_id).status == "processing" and bench.file(file_id).processed_filename is None


def test_a_picture_that_would_be_too_large_is_not_made(bench: Bench, tmp_path: Path) -> None:
    file_id = bench.ingested(draw(tmp_path / "a.png", 1000, 1000, "L"))
    job_id = bench.enqueue("UpscaleImage", {"factor": 15}, file_id)
    bench.drain()
    assert "smaller factor" in bench.error(job_id)


def test_an_original_that_is_gone_fails_the_job_and_one_that_is_broken_the_file_too(bench: Bench) -> None:
    gone, broken = bench.ingested(), bench.ingested(draw(bench.parts.home.root / "other.png"))
    bench.shelf.get_original(gone).unlink()
    bench.shelf.get_original(broken).write_bytes(b"overwritten")
    first, second = bench.enqueue("UpscaleImage", {}, gone), bench.enqueue("UpscaleImage", {}, broken)
    bench.drain()
    assert "There is no file" in bench.error(first) and bench.file(gone).status == "processing"
    assert "is no picture" in bench.error(second) and bench.file(broken).status == "failed"


def test_a_file_is_processed_when_picture_and_metadata_are_there_in_whatever_order(bench: Bench) -> None:
    for order in (("UpscaleImage", "GenerateMetadata"), ("GenerateMetadata", "UpscaleImage")):
        file_id = bench.ingested()
        for number, command in enumerate(order):
            assert bench.file(file_id).status == ("ingested", "processing")[number]
            bench.enqueue(command, {}, file_id)
            bench.drain()
        assert bench.file(file_id).status == "processed"


def test_metadata_is_told_from_the_name_the_payload_and_a_person(bench: Bench) -> None:
    file_id = bench.ingested()
    bench.enqueue("GenerateMetadata", {"told": {"hashtags": ["mine"]}}, file_id)
    bench.drain()
    metadata = json.loads(bench.file(file_id).metadata_json)
    assert metadata["title"] == "Misty morning" and "heron" in metadata["description"]
    assert metadata["hashtags"] == ["mine"] and set(metadata["captions"]) == set(CAPTIONED)
    wrong = bench.enqueue("GenerateMetadata", {"told": {"hashtags": "mine"}}, file_id)
    bench.drain()
    assert "hashtags must be a list" in bench.error(wrong)


def test_a_picture_made_by_hand_takes_the_processed_one_s_place(bench: Bench) -> None:
    file_id = bench.processed()
    draw(bench.shelf.incoming / "better.png", 64, 80)
    (bench.shelf.incoming / "bad.png").write_bytes(b"no picture")
    good, bad = (bench.enqueue("UpdateImage", {"path": name}, file_id) for name in ("better.png", "bad.png"))
    bench.drain()
    assert bench.result(good)["width"] == 64
    assert "no picture" in bench.error(bad)
    file = bench.file(file_id)
    assert (file.status, file.width, file.aspect_ratio) == ("processed", 64, "4:5")
    assert [path.name for path in (bench.shelf.root / "processed").iterdir()] == [file.processed_filename]


def test_a_deleted_file_leaves_nothing_but_the_word_of_what_is_outside(bench: Bench) -> None:
    file_id = bench.processed()
    PlatformListing.insert(id="l", file=file_id, platform="etsy", platform_listing_id="9", status="draft").execute()
    pending = bench.enqueue("UpdateListing", {"platform": "etsy"}, None)
    first = bench.enqueue("DeleteFile", {}, file_id)
    bench.drain()
    assert bench.result(first) == {"deleted": file_id, "pictures": 2, "left_on_platforms": ["etsy 9"]}
    assert File.select().count() == PlatformListing.select().count() == 0
    assert {row.id for row in Job.select()} == {first, pending}
    assert not bench.shelf.has_pictures()


@pytest.mark.parametrize("platform", [name for name in SHOPS if name != "etsy"])
def test_a_shop_that_is_not_connected_says_so(bench: Bench, platform: str) -> None:
    file_id = bench.processed()
    files.approve(file_id, bench.clock.now())
    job_id = bench.enqueue("CreateListing", {**LISTED, "platform": platform}, file_id)
    bench.drain()
    assert f"{platform} is not connected" in bench.error(job_id)
    assert bench.file(file_id).status == "approved" and bench.job(job_id).attempts == 1


@pytest.mark.parametrize("platform", SOCIALS)
def test_a_network_that_is_not_connected_says_so(bench: Bench, platform: str) -> None:
    file_id = bench.processed()
    files.approve(file_id, bench.clock.now())
    job_id = bench.enqueue("PublishSocial", {"platform": platform}, file_id)
    bench.drain()
    assert f"{platform} is not connected" in bench.error(job_id)


class Network:
    """A social network of a test's own, as an adapter would be."""

    def __init__(self) -> None:
        self.posts = list[str]()

    def publish(self, artwork: Artwork, post_type: str, payload: Any) -> Posted:
        self.posts.append(artwork.file_id)
        return Posted(str(len(self.posts)), "https://example.org/1", "active")


def test_a_post_is_noted_and_not_published_again(bench: Bench) -> None:
    network, file_id = Network(), bench.processed()
    files.approve(file_id, bench.clock.now())
    for post_type in ("pin", "pin", "story"):
        bench.enqueue("PublishSocial", {"platform": "pinterest", "post_type": post_type}, file_id)
    bench.drain(socials={"pinterest": network})
    assert len(network.posts) == SocialPost.select().count() == 2


@pytest.mark.parametrize(
    ("command", "payload", "words"),
    [
        ("Explode", {}, "no command 'Explode'"),
        ("UpscaleImage", {}, "needs a file"),
        ("CreateListing", LISTED, "needs a file"),
        ("CreateFileRecord", {}, "path must be a text"),
        ("CreateFileRecord", {"path": "a.jpg", "then": 3}, "then must be"),
    ],
)
def test_a_command_that_cannot_be_fails_at_its_first_try(bench: Bench, command: str, payload: Any, words: str) -> None:
    job_id = bench.enqueue(command, payload)
    bench.drain()
    assert words in bench.error(job_id) and bench.job(job_id).attempts == 1


def test_a_payload_that_is_no_json_fails_its_job(bench: Bench) -> None:
    job_id = bench.enqueue("CreateFileRecord", {"path": "a"})
    Job.update(payload_json="{no json").execute()
    bench.drain()
    assert "payload is no JSON" in bench.error(job_id)


@pytest.mark.parametrize(
    ("status", "command"),
    [
        ("ingested", "CreateListing"),
        ("processed", "CreateListing"),
        ("approved", "UpscaleImage"),
        ("published", "GenerateMetadata"),
        ("failed", "UpdateImage"),
        ("processing", "UpdateListing"),
    ],
)
def test_a_command_for_a_file_that_is_not_so_far_fails_with_what_to_do(bench: Bench, status: str, command: str) -> None:
    file_id = bench.ingested()
    File.update(status=status).execute()
    job_id = bench.enqueue(command, LISTED, file_id)
    bench.drain()
    assert f"is {status}" in bench.error(job_id)
    assert bench.file(file_id).status == status


def test_a_chain_goes_on_only_after_what_succeeded(bench: Bench, tmp_path: Path) -> None:
    steps = chain([("UpscaleImage", {"factor": 99}), ("GenerateMetadata", {})])
    bench.enqueue("CreateFileRecord", {"path": str(draw(tmp_path / "a.png")), "then": steps})
    bench.drain()
    found = {row.command_type: row.status for row in Job.select()}
    assert found == {"CreateFileRecord": "completed", "UpscaleImage": "failed"}


@dataclass
class Service:
    """An outside service of a test's own, that fails so often before it works; for both hooks."""

    failures: int
    words: str = "The service is busy."

    def upscale(self, source: Path, factor: float, dpi: int, make: Make) -> Measured:
        self.fail()
        with make(".jpg") as file:
            Image.new("RGB", (9, 6)).save(file, "JPEG")
        return Measured(9, 6, ".jpg")

    def write(self, facts: Facts) -> Metadata:
        self.fail()
        return Metadata(facts.title, "written outside", (), dict.fromkeys(CAPTIONED, ""))

    def fail(self) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise TryLater(self.words)


def test_outside_services_take_the_hooks_places_and_are_tried_again(bench: Bench) -> None:
    file_id, service = bench.ingested(), Service(failures=2)
    upscaling = bench.enqueue("UpscaleImage", {}, file_id)
    for waited in (0.0, 61.0, 200.0):
        bench.clock.ahead = waited
        bench.drain(upscaler=service)
    assert bench.result(upscaling)["width"] == 9 and bench.job(upscaling).attempts == 3
    bench.enqueue("GenerateMetadata", {}, file_id)
    bench.drain(writer=service)
    assert "written outside" in bench.file(file_id).metadata_json


def test_after_the_last_try_the_job_has_failed_with_its_last_error(bench: Bench) -> None:
    file_id, service = bench.ingested(), Service(failures=99)
    job_id = bench.enqueue("UpscaleImage", {}, file_id)
    for attempt in range(1, 6):
        bench.drain(upscaler=service)
        assert bench.job(job_id).attempts == attempt
        bench.clock.ahead += 3601.0
    assert "busy" in bench.error(job_id)
    assert jobs.retry([job_id]) == 1
    bench.drain()
    assert bench.job(job_id).status == "completed"


class Buggy(Service):
    def fail(self) -> None:
        raise ZeroDivisionError("by a bug")


def test_a_bug_of_ours_is_told_and_does_not_end_the_worker(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    file_id = bench.ingested()
    job_id = bench.enqueue("UpscaleImage", {}, file_id)
    bench.drain(upscaler=Buggy(0))
    assert bench.job(job_id).status == "pending" and "ZeroDivisionError" in bench.job(job_id).last_error
    assert "Traceback" in caplog.text


class StopsMidway(Service):
    def upscale(self, source: Path, factor: float, dpi: int, make: Make) -> Measured:
        with make(".jpg") as file:
            file.write(b"half a picture")
            raise Stopped("Stopped by a test.")


def test_a_stop_puts_the_job_back_untried_and_leaves_no_half_picture(bench: Bench) -> None:
    file_id = bench.ingested()
    job_id = bench.enqueue("UpscaleImage", {}, file_id)
    with pytest.raises(Stopped):
        bench.drain(upscaler=StopsMidway(0))
    assert (bench.job(job_id).status, bench.job(job_id).attempts) == ("pending", 0)
    assert list((bench.shelf.root / "processed").iterdir()) == []


def test_an_id_that_another_program_made_up_reaches_no_path(bench: Bench) -> None:
    kept = bench.ingested()
    File.insert(id="*", original_filename="a.jpg", status="ingested").execute()
    ids = [bench.enqueue(command, {}, "*") for command in ("DeleteFile", "UpscaleImage")]
    bench.drain()
    assert all("is no UUID" in bench.error(job_id) for job_id in ids)
    assert bench.shelf.get_original(kept).exists()
