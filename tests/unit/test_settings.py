"""Settings: where they come from, who wins, and that every mistake is told at once without a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.errors import UserMistake
from runtime.settings import Home, load_settings

KEY, SECRET, PASSWORD = "keystring0123", "sharedsecret9", "dbpassword77"


def words(root: Path, **environment: str) -> str:
    """Return what is said about wrong settings."""
    with pytest.raises(UserMistake) as mistake:
        load_settings(root, environment)
    return mistake.value.words()


def test_the_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    assert settings.etsy_api_url == "https://openapi.etsy.com/v3/application"
    assert settings.etsy_cdn_url == "https://i.etsystatic.com"
    assert settings.database_url.get_secret_value() == "sqlite:///data/db/etsy_data.db"
    assert (settings.crawler_home, settings.taxonomy_ids, settings.alerts.get_secret_value()) == (tmp_path, (967,), "")
    assert (settings.cycle_days, settings.dynamic_max_age_days) == (7.0, 7.0)
    assert (settings.download_workers, settings.min_free_gb, settings.key_header) == (8, 5.0, "")


def test_the_environment_wins_over_dotenv_which_wins_over_toml(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("cycle_days = 1\ndownload_workers = 1\nmin_free_gb = 1\n")
    (tmp_path / ".env").write_text("CYCLE_DAYS=2\nDOWNLOAD_WORKERS=2\n")
    settings = load_settings(tmp_path, {"CYCLE_DAYS": "3"})
    assert (settings.cycle_days, settings.download_workers, settings.min_free_gb) == (3.0, 2, 1.0)


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CYCLE_DAYS=2\nDOWNLOAD_WORKERS=\n")
    settings = load_settings(tmp_path, {"CYCLE_DAYS": ""})
    assert (settings.cycle_days, settings.download_workers) == (2.0, 8)


def test_names_in_toml_may_be_small_or_capital(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('CYCLE_DAYS = 0.5\ntaxonomy_ids = [967, 968]\netsy_api_key = "a:b"\n')
    settings = load_settings(tmp_path, {})
    assert (settings.cycle_days, settings.taxonomy_ids, settings.key_header) == (0.5, (967, 968), "a:b")


def test_the_home_s_own_files_are_read_where_it_is_elsewhere(tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    home.mkdir()
    (tmp_path / ".env").write_text("CYCLE_DAYS=2\nDOWNLOAD_WORKERS=2\n")
    (home / ".env").write_text("CYCLE_DAYS=3\n")
    settings = load_settings(tmp_path, {"CRAWLER_HOME": str(home)})
    assert (settings.crawler_home, settings.cycle_days, settings.download_workers) == (home, 3.0, 2)


def test_a_relative_home_lies_below_the_program(tmp_path: Path) -> None:
    (tmp_path / "market").mkdir()
    assert load_settings(tmp_path, {"CRAWLER_HOME": "market"}).crawler_home == tmp_path / "market"


@pytest.mark.parametrize("where", ["environment", "dotenv"])
def test_a_home_that_is_not_there_is_refused_and_not_made(tmp_path: Path, where: str) -> None:
    """Its disk may not be mounted."""
    home = tmp_path / "disk" / "home"
    if where == "dotenv":
        (tmp_path / ".env").write_text(f"CRAWLER_HOME={home}\n")
    told = words(tmp_path, **({"CRAWLER_HOME": str(home)} if where == "environment" else {}))
    assert told.startswith(f"CRAWLER_HOME is {home}, and there is no such folder. Is its disk mounted?")
    assert not home.parent.exists()


def test_a_home_shows_by_its_files_that_it_was_crawled(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.traces() == []
    pictures = home.images / "imagedownload"
    for path in (home.data / "qps_config.json", home.checkpoints / "README.md", pictures / "README.md"):
        path.parent.mkdir(parents=True)
        path.touch()
    assert home.traces() == [], "these are there before the first start"
    (home.data / "furniture_taxonomy_ids.json").touch()
    (home.checkpoints / "state-20261120T150405Z.json").touch()
    (pictures / "007").mkdir()
    assert home.traces() == [home.data / "furniture_taxonomy_ids.json", home.checkpoints, pictures]


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({"ETSY_API_KEY": KEY, "ETSY_SHARED_SECRET": SECRET}, f"{KEY}:{SECRET}"),
        ({"ETSY_API_KEY": f"{KEY}:{SECRET}"}, f"{KEY}:{SECRET}"),
        ({"ETSY_API_KEY": f"{KEY}:{SECRET}", "ETSY_SHARED_SECRET": SECRET}, f"{KEY}:{SECRET}"),
        ({"ETSY_API_KEY": KEY}, KEY),
    ],
)
def test_the_key_may_be_given_in_one_piece_or_in_two(tmp_path: Path, environment: dict[str, str], header: str) -> None:
    assert load_settings(tmp_path, environment).key_header == header


@pytest.mark.parametrize(
    ("text", "ids"), [("967", (967,)), ("967,968", (967, 968)), (" 967 , 968 , 967", (967, 968)), ("967,", (967,))]
)
def test_categories_are_a_list_without_repeats(tmp_path: Path, text: str, ids: tuple[int, ...]) -> None:
    assert load_settings(tmp_path, {"TAXONOMY_IDS": text}).taxonomy_ids == ids


@pytest.mark.parametrize("text", ["0.5", "7", "0.0001", "3650"])
def test_days_may_be_fractions(tmp_path: Path, text: str) -> None:
    settings = load_settings(tmp_path, {"CYCLE_DAYS": text, "DYNAMIC_MAX_AGE_DAYS": text})
    assert settings.cycle_days == settings.dynamic_max_age_days == float(text)


WRONG = [
    ("CYCLE_DAYS", "0"),
    ("CYCLE_DAYS", "-1"),
    ("CYCLE_DAYS", "weekly"),
    ("CYCLE_DAYS", "nan"),
    ("CYCLE_DAYS", "inf"),
    ("DYNAMIC_MAX_AGE_DAYS", "99999"),
    ("DOWNLOAD_WORKERS", "0"),
    ("DOWNLOAD_WORKERS", "2.5"),
    ("DOWNLOAD_WORKERS", "1000"),
    ("MIN_FREE_GB", "-1"),
    ("TAXONOMY_IDS", "furniture"),
    ("TAXONOMY_IDS", "-5"),
    ("TAXONOMY_IDS", ","),
    ("ETSY_API_URL", "openapi.etsy.com"),
    ("ETSY_CDN_URL", "ftp://host"),
    ("ETSY_API_URL", "https://"),
    ("DATABASE_URL", "mysql://host/db"),
    ("DATABASE_URL", "etsy.db"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_that_cannot_be_is_told_with_its_name(tmp_path: Path, name: str, value: str) -> None:
    assert name in words(tmp_path, **{name: value})


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("cycle_dayz = 3\n")
    told = words(tmp_path, CYCLE_DAYS="0", DOWNLOAD_WORKERS="x", TAXONOMY_IDS="y", ETSY_CDN_URL="z")
    assert all(
        name in told for name in ("CYCLE_DAYZ", "CYCLE_DAYS", "DOWNLOAD_WORKERS", "TAXONOMY_IDS", "ETSY_CDN_URL")
    )


@pytest.mark.parametrize(
    ("name", "meant"), [("cycle_dayz", "CYCLE_DAYS"), ("taxonomy_id", "TAXONOMY_IDS"), ("etsy_key", "ETSY_API_KEY")]
)
def test_an_unknown_name_in_toml_is_told_with_the_one_that_is_meant(tmp_path: Path, name: str, meant: str) -> None:
    (tmp_path / "settings.toml").write_text(f"{name} = 3\n")
    told = words(tmp_path)
    assert name.upper() in told and f"did you mean {meant}?" in told


def test_an_unknown_name_like_no_other_is_told_without_a_guess(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("qqqqqq = 3\n")
    assert "QQQQQQ" in words(tmp_path) and "did you mean" not in words(tmp_path)


def test_other_programs_variables_are_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("EDITOR=vi\nCYCLE_DAYZ=3\n")
    assert load_settings(tmp_path, {"PATH": "/bin", "ETSY": "x"}).cycle_days == 7.0


@pytest.mark.parametrize("text", ["cycle_days = ", "[", "\x00"])
def test_toml_that_cannot_be_read_is_told_with_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    assert "settings.toml" in words(tmp_path)


@pytest.mark.parametrize("name", ["settings.toml", ".env"])
def test_a_file_that_is_no_utf_8_is_told_with_its_path(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"ALERTS=\xff\xfe\n")
    assert name in words(tmp_path)


SECRETS = {"ETSY_API_KEY": KEY, "ETSY_SHARED_SECRET": SECRET, "DATABASE_URL": f"postgresql://me:{PASSWORD}@host/db"}


def test_no_form_of_the_settings_shows_a_secret(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, SECRETS)
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    assert not any(secret in shown for secret in (KEY, SECRET, PASSWORD))
    assert {KEY, SECRET, PASSWORD, f"{KEY}:{SECRET}"} <= set(settings.secrets)


def test_longer_secrets_are_blotted_out_before_their_parts(tmp_path: Path) -> None:
    lengths = [len(secret) for secret in load_settings(tmp_path, SECRETS).secrets]
    assert lengths == sorted(lengths, reverse=True)


def test_no_mistake_shows_a_secret(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(f'etsy_api_key = ["{KEY}"]\netsy_shared_secret = {{a = "{SECRET}"}}\n')
    told = words(tmp_path, DATABASE_URL=f"mysql://me:{PASSWORD}@host/db")
    assert not any(secret in told for secret in (KEY, SECRET, PASSWORD))


def test_a_misspelt_secret_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(f'etsy_api_kee = "{KEY}"\n')
    assert KEY not in words(tmp_path)


def test_everything_of_one_home_lies_below_it() -> None:
    home = Home(Path("/home/me"))
    below = [home.data, home.checkpoints, home.logs, home.lock, *home.kill_files("KILL", "KILL_SD")]
    assert all(path.is_relative_to("/home/me") for path in below)
    assert [path.name for path in home.kill_files("KILL", "KILL_SD")] == ["KILL", "KILL_SD"]
