"""What is decided without a database: shapes, words, metadata, texts for Etsy, prices, chains of commands."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishing.aspect import COMMON, TOLERANCE, aspect_ratio
from publishing.metadata import CAPTIONED, Facts, WrongShape, check_metadata, parse_metadata
from publishing.names import words_of
from publishing.payloads import choice_of, flag_of, number_of, parse_payload, text_of, whole_of
from publishing.platforms.etsy_texts import has_mark, tags_for, title_for, with_mark
from publishing.template import Template
from publishing.then import chain, following
from publishing.troubles import JobFailed
from publishing.usage import parse_prices
from runtime.errors import UserMistake

sides = st.integers(1, 30_000)
GOOD: dict[str, Any] = {
    "title": "Heron",
    "description": "",
    "hashtags": ["heron"],
    "captions": dict.fromkeys(CAPTIONED, "A heron"),
}


@pytest.mark.parametrize(
    ("width", "height", "ratio"),
    [
        (3000, 2000, "3:2"),
        (2000, 3000, "2:3"),
        (1600, 2000, "4:5"),
        (3000, 2010, "3:2"),
        (1000, 1000, "1:1"),
        (1920, 1080, "16:9"),
        (10_000, 100, None),
        (1, 1, "1:1"),
    ],
)
def test_a_shape_has_the_name_of_the_nearest_common_one(width: int, height: int, ratio: str | None) -> None:
    assert aspect_ratio(width, height) == ratio


@given(width=sides, height=sides)
def test_a_picture_that_is_turned_has_the_turned_shape(width: int, height: int) -> None:
    upright = aspect_ratio(width, height)
    turned = None if upright is None else ":".join(reversed(upright.split(":")))
    assert aspect_ratio(height, width) == turned


@given(width=sides, height=sides)
def test_no_common_shape_is_nearer_than_the_one_that_is_told(width: int, height: int) -> None:
    ratio = aspect_ratio(width, height)
    found = width / height

    def off(across: int, up: int) -> float:
        return max(found, across / up) / min(found, across / up) - 1

    nearest = min(off(*common) for common in COMMON)
    if ratio is None:
        assert nearest > TOLERANCE * 0.999
    else:
        across, up = map(int, ratio.split(":"))
        assert off(across, up) == pytest.approx(nearest) and nearest <= TOLERANCE * 1.001


def test_a_picture_without_pixels_has_no_shape() -> None:
    with pytest.raises(ValueError, match="no shape"):
        aspect_ratio(0, 5)


@pytest.mark.parametrize(
    ("name", "title", "species"),
    [
        ("heron - misty_morning.jpg", "Misty morning", "heron"),
        ("great blue heron__dawn.PNG", "Dawn", "great blue heron"),
        ("IMG-0042.jpg", "IMG 0042", None),
        (" - .jpg", "Untitled", None),
        ("grey-heron - at - dusk.jpg", "At dusk", "grey heron"),
        ("été.tif", "Été", None),
    ],
)
def test_a_file_name_tells_title_and_species(name: str, title: str, species: str | None) -> None:
    assert words_of(name) == (title, species)


def test_metadata_of_the_right_shape_is_read_and_written_back() -> None:
    metadata = check_metadata(GOOD)
    assert parse_metadata(metadata.as_json()) == metadata


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"title": " "}, "title is empty"),
        ({"title": 3}, "title must be a text"),
        ({"description": None}, "description must be"),
        ({"hashtags": "heron"}, "hashtags must be a list"),
        ({"hashtags": [""]}, "none of them empty"),
        ({"captions": []}, "captions must be an object"),
        ({"captions": {"instagram": "a"}}, "a text for each"),
        ({"captions": dict.fromkeys(CAPTIONED, 1)}, "a text for each"),
        ({"price": 3}, "no field 'price'"),
    ],
)
def test_metadata_of_another_shape_is_refused_with_the_place(change: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongShape, match=words):
        check_metadata({**GOOD, **change})


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_what_is_no_metadata_at_all_is_refused(text: str) -> None:
    with pytest.raises(WrongShape):
        parse_metadata(text)


titles = st.text(min_size=1).filter(lambda text: text.strip())


@given(title=titles, species=st.none() | st.text(), width=st.none() | sides)
def test_the_template_writes_metadata_of_the_right_shape_of_anything(
    title: str, species: str | None, width: int | None
) -> None:
    written = Template().write(Facts(title, species, width, width, None, {}))
    assert parse_metadata(written.as_json()) == written


def test_what_a_person_told_stays_as_it_is() -> None:
    told = {"description": "By hand.", "hashtags": ["mine"], "captions": {"tiktok": "short"}}
    written = Template().write(Facts("Heron", "heron", 3, 2, "3:2", told))
    assert (written.description, written.hashtags, written.captions["tiktok"]) == ("By hand.", ("mine",), "short")
    assert written.captions["instagram"].startswith("Heron #heron")
    with pytest.raises(WrongShape):
        Template().write(Facts("Heron", None, 3, 2, None, {"hashtags": "mine"}))


@given(text=st.text(max_size=300))
def test_a_title_has_only_what_etsy_takes(text: str) -> None:
    title = title_for(text)
    assert len(title) <= 140 and title == title.strip()
    assert all(title.count(sign) <= 1 for sign in "%:&+")
    for sign in title:
        category = unicodedata.category(sign)
        assert category[0] in "LP" or category in ("Nd", "Sm", "Zs") or sign in "™©®"


@given(texts=st.lists(st.text(max_size=40)))
def test_tags_are_few_and_short_and_each_once(texts: list[str]) -> None:
    tags = tags_for(texts)
    assert len(tags) <= 13 and len(set(tags)) == len(tags)
    assert all(0 < len(tag) <= 20 and "," not in tag for tag in tags)


@given(description=st.text())
def test_a_description_carries_its_mark_once_however_often_it_is_marked(description: str) -> None:
    file_id = "7a1c1b9e-5d6f-4d0e-9a6c-0d4b1b8f2a10"
    marked = with_mark(with_mark(description, file_id), file_id)
    assert has_mark(marked, file_id) and marked.count(file_id) == 1
    assert not has_mark(marked, "another")


def test_prices_are_by_service_or_by_endpoint() -> None:
    assert parse_prices("etsy=0, upscaler:enlarge=0.02") == {("etsy", None): 0.0, ("upscaler", "enlarge"): 0.02}
    with pytest.raises(UserMistake, match="at 'etsy'"):
        parse_prices("etsy")


def test_a_chain_of_commands_is_worked_off_from_its_head() -> None:
    steps = [("UpscaleImage", {"factor": 2}), ("GenerateMetadata", {}), ("DeleteFile", {})]
    payload, seen = {"then": chain(steps)}, list[str]()
    while following_steps := list(following(payload)):
        ((command, payload),) = following_steps
        seen.append(command)
    assert seen == ["UpscaleImage", "GenerateMetadata", "DeleteFile"]


@pytest.mark.parametrize("then", [{}, "UpscaleImage", [1], [{"command_type": "Explode"}], [{"payload": {}}]])
def test_a_chain_that_makes_no_sense_fails_the_job(then: Any) -> None:
    with pytest.raises(JobFailed, match="then must be"):
        following({"then": then})


@pytest.mark.parametrize("text", ["[]", "{", '{"a": NaN}', '"text"'])
def test_a_payload_that_is_no_object_of_json_fails_the_job(text: str) -> None:
    with pytest.raises(JobFailed, match="payload is no JSON"):
        parse_payload(text)


def test_a_value_of_a_payload_that_is_wrong_is_named() -> None:
    payload = {"n": True, "f": 0.5, "t": " ", "c": "x"}
    for read, words in (
        (lambda: number_of(payload, "n", 0, 9), "n must be a number from 0 to 9 .it is True"),
        (lambda: number_of(payload, "f", 1, 9), "f must be a number"),
        (lambda: number_of({"f": float("inf")}, "f", 1, 9), "f must be a number"),
        (lambda: whole_of(payload, "f", 0, 9), "f must be a whole number"),
        (lambda: text_of(payload, "t"), "t must be a text"),
        (lambda: text_of(payload, "u"), "it is missing"),
        (lambda: choice_of(payload, "c", ("a", "b")), "one of a, b"),
        (lambda: flag_of(payload, "c", True), "true or false"),
    ):
        with pytest.raises(JobFailed, match=words):
            read()
