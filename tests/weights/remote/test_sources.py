"""Where weights come from: everything is fetched from real servers on this machine's loopback."""

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from resnetx.errors import FileError, MissingExtraError, SourceError
from resnetx.weights.checkpoint import load_checkpoint
from resnetx.weights.remote import download, pace
from resnetx.weights.remote import hub as hub_module
from resnetx.weights.remote.address import is_loopback, next_hop, parse_hub_address, parse_web_address
from resnetx.weights.remote.download import fetch_file
from resnetx.weights.sources import Source, resolve_source
from tests.conftest import random_network, tiny_config
from tests.support.loopback import COMMIT, HubFile, Loopback, Repository, Served, hub

BODY = random.Random(1).randbytes(300_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
PATH = "/weights/resnet50.pth"
REPO = "timm/resnet50.a1_in1k"
CONFIG = b'{"architecture": "resnet50"}'


@pytest.fixture(autouse=True)
def no_pauses_no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (download, hub_module):
        monkeypatch.setattr(module, "PAUSES_S", (0, 0, 0, 0))
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("HF_", "RESNETX_")):
            monkeypatch.delenv(name)


@pytest.fixture
def web() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def at(server: Loopback, path: str = PATH, digest: str = DIGEST) -> str:
    return f"{server.address}{path}#sha256={digest}"


# Paths


def test_a_path_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"x")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_source(str(file)) == Source(path=file, description=str(file), sha256=None)
    assert resolve_source(str(tmp_path)).path == tmp_path
    assert resolve_source("~/weights.pth").path == file
    monkeypatch.chdir(tmp_path)
    assert resolve_source("weights.pth").description == "weights.pth"


def test_a_missing_path_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match=r"'microsoft/resnet-50'.*write hf://microsoft/resnet-50") as caught:
        resolve_source("microsoft/resnet-50")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "\0", "~nobody-of-this-name/x", "x" * 5000])
def test_a_strange_path_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(FileError):
        resolve_source(text)


@pytest.mark.parametrize("text", ["s3://bucket/x.pth", "file:///etc/passwd", "ftp://host/x"])
def test_an_unknown_scheme_lists_the_known_ones(text: str) -> None:
    with pytest.raises(SourceError, match=r"hf://owner/repo.*https://"):
        resolve_source(text)


def test_a_scheme_without_slashes_is_not_a_path() -> None:
    with pytest.raises(SourceError, match="two slashes"):
        resolve_source("hf:timm/resnet50")


@given(st.text(max_size=60))
def test_any_text_is_a_source_or_an_error_of_ours(text: str) -> None:
    with suppress(SourceError):
        parse_hub_address(f"hf://{text}")
    with suppress(SourceError):
        parse_web_address(f"https://{text}#sha256={DIGEST}")


# Addresses


@pytest.mark.parametrize(
    "text",
    [
        "hf://onlyowner",
        "hf://",
        "hf:///repo",
        "hf://owner/repo/file.pth",
        "hf://../etc",
        "hf://owner/..",
        "hf://owner/re--po",
        "hf://owner/repo@",
        "hf://owner/repo@../../x",
        "hf://owner/repo@a//b",
        "hf://owner/repo@-x",
        "hf://owner/repo@a b",
        "hf://owner/repo@main?x",
        "hf://owner/repo\n",
        "hf://ow%2fner/repo",
    ],
)
def test_a_malformed_repository_is_refused(text: str, cache: Path) -> None:
    with pytest.raises(SourceError, match="hf://"):
        resolve_source(text, cache=cache)
    assert not cache.exists()


def test_repositories_and_revisions_as_people_write_them() -> None:
    assert parse_hub_address("hf://timm/resnet50.a1_in1k").revision == "main"
    assert parse_hub_address("hf://microsoft/resnet-50@refs/pr/1").revision == "refs/pr/1"
    assert parse_hub_address(f"hf://a/b@{COMMIT}").revision == COMMIT


def test_an_address_needs_a_digest() -> None:
    with pytest.raises(SourceError, match="sha256sum FILE"):
        resolve_source("https://example.org/x.pth")
    with pytest.raises(SourceError, match="sha256sum FILE"):
        resolve_source("https://example.org/x.pth#sha256=123")


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org", "192.168.0.1", "0.0.0.0"])
def test_plain_http_is_for_loopback_only(host: str) -> None:
    with pytest.raises(SourceError, match="use https://"):
        resolve_source(f"http://{host}/x.pth#sha256={DIGEST}")
    assert not is_loopback(host)


@pytest.mark.parametrize("text", ["https://", "https:///x", "https://[::1/x", "https://h:99999/x", "https://h/a b"])
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="not a valid address"):
        resolve_source(f"{text}#sha256={DIGEST}")


def test_secrets_of_an_address_are_not_shown() -> None:
    address = parse_web_address(f"https://user:secret@example.org/x.weights.h5?token=secret#sha256={DIGEST.upper()}")
    assert address.shown == "https://example.org/x.weights.h5"
    assert "secret" in address.url
    assert (address.sha256, address.suffix, address.name) == (DIGEST, ".weights.h5", "x.weights.h5")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("x.pth", ".pth"), ("x", ""), ("..%2f..%2fx.pt", ".pt"), ("x.PART", ""), ("a.lock", ""), ("x.a/", ".a"), ("", "")],
)
def test_only_the_suffix_of_a_name_is_taken(name: str, suffix: str) -> None:
    assert parse_web_address(f"https://example.org/{name}#sha256={DIGEST}").suffix == suffix


@pytest.mark.parametrize(
    ("url", "location", "problem"),
    [
        ("https://a.org/x", "http://a.org/x", "not encrypted"),
        ("https://a.org/x", "http://127.0.0.1/x", "this machine"),
        ("https://a.org/x", "https://localhost/x", "this machine"),
        ("http://127.0.0.1/x", "http://a.org/x", "not encrypted"),
        ("https://a.org/x", "file:///etc/passwd", "an invalid address"),
        ("https://a.org/x", "ftp://a.org/x", "not HTTP"),
        ("https://a.org/x", "https://[/", "an invalid address"),
    ],
)
def test_a_redirect_may_not_lead_to_worse(url: str, location: str, problem: str) -> None:
    with pytest.raises(SourceError, match=problem):
        next_hop(url, location, shown="it")


def test_a_redirect_may_lead_to_equals() -> None:
    assert next_hop("https://a.org/x", "https://b.org/y?s=1", shown="") == "https://b.org/y?s=1"
    assert next_hop("https://a.org/x/z", "../y", shown="") == "https://a.org/y"
    assert next_hop("http://127.0.0.1:1/x", "http://localhost:2/", shown="") == "http://localhost:2/"


# Files from a web server


def test_a_file_is_fetched_once(web: Loopback, cache: Path) -> None:
    web.serve(PATH, BODY)
    seen: list[tuple[str, int, int | None]] = []
    source = resolve_source(at(web), cache=cache, progress=lambda *now: seen.append(now))
    assert source.path == cache / f"{DIGEST}.pth"
    assert source.path.read_bytes() == BODY
    assert (source.description, source.sha256) == (f"{web.address}{PATH}", DIGEST)
    assert {(name, total) for name, _, total in seen} == {("resnet50.pth", len(BODY))}
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})
    assert seen[-1][1] == len(BODY)
    assert resolve_source(at(web), cache=cache) == source
    assert len(web.requests) == 1
    assert not [path for path in cache.iterdir() if path.suffix in (".part", ".etag")]


@pytest.mark.parametrize("variable", ["RESNETX_CACHE", "XDG_CACHE_HOME", "HOME"])
def test_the_cache_is_where_the_environment_says(
    web: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    web.serve(PATH, BODY)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    folder = {"RESNETX_CACHE": ".", "XDG_CACHE_HOME": "resnetx", "HOME": ".cache/resnetx"}[variable]
    assert resolve_source(at(web)).path == tmp_path / folder / f"{DIGEST}.pth"


def test_a_damaged_file_in_the_cache_is_fetched_again(web: Loopback, cache: Path) -> None:
    web.serve(PATH, BODY)
    path = resolve_source(at(web), cache=cache).path
    path.write_bytes(BODY[:-1] + bytes([BODY[-1] ^ 1]))
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY


@pytest.mark.parametrize("etag", ['"one"', None, 'W/"weak"'])
def test_a_cut_connection_is_resumed(web: Loopback, cache: Path, etag: str | None) -> None:
    web.serve(PATH, BODY, etag=etag, cuts=[100_000, 50_000])
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY
    ranges = [request.range for request in web.gets(PATH)]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]
    conditions = [request.headers.get("if-range") for request in web.gets(PATH)]
    assert conditions == [None, *[etag if etag == '"one"' else None] * 2]


def test_a_run_that_gave_up_is_resumed_by_the_next(web: Loopback, cache: Path) -> None:
    served = web.serve(PATH, BODY, etag='"one"', cuts=[1000] * 5)
    with pytest.raises(SourceError, match=r"5 attempts.*5,000 bytes received are kept"):
        resolve_source(at(web), cache=cache)
    assert (cache / f"{DIGEST}.part").read_bytes() == BODY[:5000]
    assert not served.cuts
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY
    assert web.requests[-1].range == "bytes=5000-"


def test_a_server_that_ignores_ranges_starts_over(web: Loopback, cache: Path) -> None:
    web.serve(PATH, BODY, ranges=False, cuts=[200_000])
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY
    assert [request.range for request in web.gets(PATH)] == [None, "bytes=200000-"]


def test_a_file_that_changed_meanwhile_starts_over(web: Loopback, cache: Path) -> None:
    web.serve(PATH, b"other" * 50_000, etag='"old"', cuts=[1000] * 5)
    with pytest.raises(SourceError):
        resolve_source(at(web), cache=cache)
    web.serve(PATH, BODY, etag='"new"')
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY
    assert web.requests[-1].headers["if-range"] == '"old"'


def test_a_changed_file_without_etags_is_told_by_the_digest(web: Loopback, cache: Path) -> None:
    cache.mkdir()
    (cache / f"{DIGEST}.part").write_bytes(b"of another file")
    web.serve(PATH, BODY)
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY
    assert [request.range for request in web.requests] == ["bytes=15-", None]


@pytest.mark.parametrize("left", [BODY, BODY + b"more"])
def test_a_part_that_needs_nothing_more(web: Loopback, cache: Path, left: bytes) -> None:
    cache.mkdir()
    (cache / f"{DIGEST}.part").write_bytes(left)
    web.serve(PATH, BODY)
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY
    assert len(web.requests) == (1 if left == BODY else 2)


@pytest.mark.parametrize(
    "wrong", ["bytes 7-299999/300000", "nonsense", "bytes 1000-9/300000", "bytes 1000-1999/300000"]
)
def test_a_wrong_range_is_not_appended(web: Loopback, cache: Path, wrong: str) -> None:
    web.serve(PATH, BODY, cuts=[1000], content_range=[wrong])
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY
    assert [request.range for request in web.requests] == [None, "bytes=1000-", None]


def test_server_errors_pass(web: Loopback, cache: Path) -> None:
    web.serve(PATH, BODY, statuses=[503, 429, 500])
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY
    assert len(web.requests) == 4


def test_server_errors_that_stay(web: Loopback, cache: Path) -> None:
    web.serve(PATH, BODY, statuses=[503] * 9)
    with pytest.raises(SourceError, match=r"5 attempts.*503 Service Unavailable"):
        resolve_source(at(web), cache=cache)
    assert len(web.requests) == 5


@pytest.mark.parametrize(
    ("status", "advice"), [(404, "no such file"), (401, "signing in"), (403, "signing in"), (400, "other means")]
)
def test_a_refusal_is_not_repeated(web: Loopback, cache: Path, status: int, advice: str) -> None:
    web.serve(PATH, BODY, statuses=[status])
    with pytest.raises(SourceError, match=f"{status}.*{advice}"):
        resolve_source(at(web), cache=cache)
    assert len(web.requests) == 1


def test_a_wrong_digest_is_refused_and_nothing_is_kept(web: Loopback, cache: Path) -> None:
    web.serve(PATH, BODY + b"!")
    with pytest.raises(SourceError, match=DIGEST) as caught:
        resolve_source(at(web), cache=cache)
    assert hashlib.sha256(BODY + b"!").hexdigest() in str(caught.value)
    assert "300,001 bytes" in str(caught.value)
    assert [path.suffix for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_a_body_cut_short_without_a_length_is_refused(web: Loopback, cache: Path) -> None:
    web.serve(PATH, BODY, announce_length=False, cuts=[100])
    with pytest.raises(SourceError, match="or only a part of the file"):
        resolve_source(at(web), cache=cache)


def test_an_empty_body_is_refused(web: Loopback, cache: Path) -> None:
    web.serve(PATH, b"")
    with pytest.raises(SourceError, match="0 bytes"):
        resolve_source(at(web), cache=cache)


def test_a_compressed_body_is_refused(web: Loopback, cache: Path) -> None:
    web.serve(PATH, BODY, headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceError, match="compresses"):
        resolve_source(at(web), cache=cache)
    assert web.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("announced", [True, False])
def test_more_than_the_limit_is_refused(
    web: Loopback, cache: Path, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 200_000)
    web.serve(PATH, BODY, announce_length=announced)
    with pytest.raises(SourceError, match="a ResNet has less than"):
        resolve_source(at(web), cache=cache)
    assert not (cache / f"{DIGEST}.part").exists()


def test_redirects_are_followed(web: Loopback, cache: Path) -> None:
    web.serve(PATH, redirect="/moved")
    with Loopback() as other:
        web.serve("/moved", redirect=f"{other.address}/final?signature=1")
        other.serve("/final?signature=1", BODY, cuts=[1000])
        source = resolve_source(at(web), cache=cache)
        assert [request.range for request in other.requests] == [None, "bytes=1000-"]
    assert source.path == cache / f"{DIGEST}.pth"
    assert source.description == f"{web.address}{PATH}"


def test_a_redirect_out_of_encryption_is_not_followed(web: Loopback, cache: Path) -> None:
    web.serve(PATH, redirect="http://example.org/x")
    with pytest.raises(SourceError, match="not encrypted"):
        resolve_source(at(web), cache=cache)


def test_redirects_in_a_circle_end(web: Loopback, cache: Path) -> None:
    web.serve(PATH, redirect=PATH)
    with pytest.raises(SourceError, match="more than 10 times"):
        resolve_source(at(web), cache=cache)


def test_a_silent_server_is_given_up(web: Loopback, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "READ_TIMEOUT_S", 0.05)
    web.serve(PATH, BODY, chunk=1000, pause_s=0.5)
    with pytest.raises(SourceError, match=r"attempts.*timed out"):
        resolve_source(at(web), cache=cache)


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    web: Loopback, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every read succeeds, so that no timeout of a read ends it."""
    monkeypatch.setattr(pace, "WINDOW_S", 0.3)
    served = web.serve(PATH, BODY, chunk=1, pause_s=0.01)
    with pytest.raises(SourceError, match=r"bytes in the last .* are given up"):
        resolve_source(at(web), cache=cache)
    assert len(web.gets(PATH)) == 1
    served.chunk, served.pause_s = 1 << 16, 0.0
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY
    assert web.gets(PATH)[-1].range is not None  # what had been received was kept


def test_headers_that_never_end_are_given_up(web: Loopback, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "ANSWER_S", 0.3)
    web.serve(PATH, BODY, head_chunk=1, pause_s=0.01)
    with pytest.raises(SourceError, match=r"did not answer within 0\.3 s"):
        resolve_source(at(web), cache=cache)


def test_a_slow_but_steady_server_is_waited_for(web: Loopback, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "WINDOW_S", 0.05)
    monkeypatch.setattr(pace, "BYTES_IN_A_WINDOW", 1)
    monkeypatch.setattr(pace, "ANSWER_S", 5)
    web.serve(PATH, BODY, chunk=max(1, len(BODY) // 20), pause_s=0.02)
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY


def test_no_server_at_all(cache: Path) -> None:
    with pytest.raises(SourceError, match="Check the network"):
        resolve_source(f"http://127.0.0.1:{_closed_port()}/x.pth#sha256={DIGEST}", cache=cache)


def test_a_cache_that_cannot_be_written_is_a_clear_error(web: Loopback, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    web.serve(PATH, BODY)
    with pytest.raises(FileError, match="RESNETX_CACHE"):
        resolve_source(at(web), cache=tmp_path / "file")


def test_two_processes_fetch_it_once(web: Loopback, cache: Path) -> None:
    web.serve(PATH, BODY, chunk=30_000, pause_s=0.05)
    processes = [_in_a_process(at(web), cache) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert outputs == [str(cache / f"{DIGEST}.pth")] * 2
    assert (cache / f"{DIGEST}.pth").read_bytes() == BODY
    assert len(web.requests) == 1


def test_a_killed_process_is_resumed_by_the_next(web: Loopback, cache: Path) -> None:
    served = web.serve(PATH, BODY, etag='"one"', chunk=10_000, pause_s=0.1)
    part = cache / f"{DIGEST}.part"
    process = _in_a_process(at(web), cache)
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert [path.suffix for path in sorted(cache.iterdir()) if path.suffix not in (".lock", ".etag")] == [".part"]
    done = part.stat().st_size
    served.pause_s = 0
    assert resolve_source(at(web), cache=cache).path.read_bytes() == BODY
    assert web.requests[-1].range == f"bytes={done}-"
    assert 0 < done < len(BODY)


@pytest.mark.parametrize(("module", "scheme"), [("httpx2", "https"), ("httpx2", "hf"), ("huggingface_hub", "hf")])
def test_a_missing_extra_says_how_to_install_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch, module: str, scheme: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'resnetx\[hub\]'"):
        resolve_source("hf://a/b" if scheme == "hf" else f"https://127.0.0.1/x#sha256={DIGEST}", cache=cache)


def test_what_is_cached_needs_no_extra(web: Loopback, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web.serve(PATH, BODY)
    resolve_source(at(web), cache=cache)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    assert fetch_file(parse_web_address(at(web)), cache=cache).exists()


def test_importing_sources_is_light() -> None:
    code = "import sys, resnetx.weights.sources; print({'torch', 'httpx2', 'huggingface_hub'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


# Repositories on a hub


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    with hub() as front:
        monkeypatch.setenv("HF_ENDPOINT", front.address + "/")
        # Anything that did not honour HF_ENDPOINT would go to a closed port, not to the world.
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
        )
        front.repositories[REPO] = timm_repository()
        yield front
    huggingface_hub.close_session()


def timm_repository(**changes: HubFile | None) -> Repository:
    files: dict[str, HubFile | None] = {
        "config.json": HubFile(data=CONFIG),
        "preprocessor_config.json": HubFile(data=b"{}"),
        "model.safetensors": HubFile(data=BODY, large=True),
        "pytorch_model.bin": HubFile(data=b"never", large=True),
        "README.md": HubFile(data=b"never"),
        **changes,
    }
    return Repository(files={name: file for name, file in files.items() if file})


def names_asked(server: Loopback) -> set[str]:
    return {request.path.rpartition("/")[2] for request in server.requests}


def test_a_repository_becomes_a_folder_of_what_is_needed(server: Loopback) -> None:
    seen: list[tuple[str, int, int | None]] = []
    source = resolve_source(f"hf://{REPO}", progress=lambda *now: seen.append(now))
    assert source.description == f"hf://{REPO}@{COMMIT}"
    assert source.sha256 == DIGEST
    assert sorted(path.name for path in source.path.iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    assert (source.path / "model.safetensors").read_bytes() == BODY
    assert (source.path / "config.json").read_bytes() == CONFIG
    assert seen[-1] == ("model.safetensors", len(BODY), len(BODY))
    assert "README.md" not in names_asked(server)


def test_it_is_fetched_once(server: Loopback) -> None:
    assert server.store
    source = resolve_source(f"hf://{REPO}")
    server.store.requests.clear()
    assert resolve_source(f"hf://{REPO}@main") == source
    assert resolve_source(f"hf://{REPO}@{COMMIT}") == source
    assert server.store.requests == []


def test_nothing_is_printed(server: Loopback, capfd: pytest.CaptureFixture[str]) -> None:
    assert server.store
    server.store.files[f"/{DIGEST}"] = Served(data=BODY, etag=f'"{DIGEST}"', cuts=[1000])
    resolve_source(f"hf://{REPO}")
    assert capfd.readouterr() == ("", "")


def test_its_cut_connection_is_resumed(server: Loopback) -> None:
    assert server.store
    seen: list[int] = []
    server.store.files[f"/{DIGEST}"] = Served(data=BODY, etag=f'"{DIGEST}"', cuts=[100_000])
    source = resolve_source(f"hf://{REPO}", progress=lambda name, done, total: seen.append(done))
    assert (source.path / "model.safetensors").read_bytes() == BODY
    first, second = server.store.gets(f"/{DIGEST}")
    assert (first.range, second.range) == (None, "bytes=100000-")
    assert seen == sorted(seen)
    assert seen[-1] == len(BODY)


def test_what_a_run_fetched_of_it_is_kept_for_the_next(server: Loopback) -> None:
    assert server.store
    server.store.files[f"/{DIGEST}"] = Served(data=BODY, etag=f'"{DIGEST}"', cuts=[1000] * 5)
    with pytest.raises(SourceError, match=r"model\.safetensors.*5,000 bytes received are kept"):
        resolve_source(f"hf://{REPO}")
    assert resolve_source(f"hf://{REPO}").sha256 == DIGEST
    assert server.store.requests[-1].range == "bytes=5000-"


def test_a_repository_without_safetensors_and_preprocessing(server: Loopback) -> None:
    server.repositories[REPO] = timm_repository(
        **{
            "model.safetensors": None,
            "preprocessor_config.json": None,
            "pytorch_model.bin": HubFile(data=BODY, large=True),
        }
    )
    source = resolve_source(f"hf://{REPO}")
    assert sorted(path.name for path in source.path.iterdir()) == ["config.json", "pytorch_model.bin"]
    assert source.sha256 == DIGEST


def test_small_weights_in_git_have_no_sha256(server: Loopback) -> None:
    server.repositories[REPO] = timm_repository(**{"model.safetensors": HubFile(data=BODY)})
    assert resolve_source(f"hf://{REPO}").sha256 is None


def test_a_branch_that_moves_gives_the_new_commit(server: Loopback) -> None:
    old = resolve_source(f"hf://{REPO}")
    server.repositories[REPO].commit = "2e" * 20
    server.repositories[REPO].files["model.safetensors"] = HubFile(data=BODY[::-1], large=True)
    new = resolve_source(f"hf://{REPO}")
    assert new.description.endswith("@" + "2e" * 20)
    assert (new.path / "model.safetensors").read_bytes() == BODY[::-1]
    assert (old.path / "model.safetensors").read_bytes() == BODY


def test_a_blob_that_is_not_what_was_announced_is_deleted(server: Loopback) -> None:
    assert server.store
    bad = BODY[:-1] + bytes([BODY[-1] ^ 1])
    server.store.files[f"/{DIGEST}"] = Served(data=bad, etag=f'"{DIGEST}"')
    with pytest.raises(SourceError, match=f"expected {DIGEST}, got {hashlib.sha256(bad).hexdigest()}"):
        resolve_source(f"hf://{REPO}")
    server.store.files[f"/{DIGEST}"] = Served(data=BODY, etag=f'"{DIGEST}"')
    assert (resolve_source(f"hf://{REPO}").path / "model.safetensors").read_bytes() == BODY


def test_a_blob_that_rots_in_the_cache_is_deleted(server: Loopback) -> None:
    path = resolve_source(f"hf://{REPO}").path / "model.safetensors"
    path.resolve().write_bytes(b"rotten")
    with pytest.raises(SourceError, match="deleted from the cache"):
        resolve_source(f"hf://{REPO}")
    assert resolve_source(f"hf://{REPO}").sha256 == DIGEST


def test_without_links_the_digest_is_asked_for(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda _: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    source = resolve_source(f"hf://{REPO}")
    assert not (source.path / "model.safetensors").is_symlink()
    assert source.sha256 == DIGEST


def test_offline_uses_the_cache(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    server.repositories[REPO].files.pop("preprocessor_config.json")
    source = resolve_source(f"hf://{REPO}")
    server.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert resolve_source(f"hf://{REPO}") == source
    assert server.requests == []
    with pytest.raises(SourceError, match=r"HF_HUB_OFFLINE is set, and its config.json is not in the cache"):
        resolve_source("hf://timm/another")


def test_no_network_uses_the_cache(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    source = resolve_source(f"hf://{REPO}")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{_closed_port()}")
    assert resolve_source(f"hf://{REPO}") == source
    with pytest.raises(SourceError, match=r"could not be reached.*not in the cache"):
        resolve_source("hf://timm/another")


def test_a_hub_with_a_hiccup(server: Loopback) -> None:
    server.repositories[REPO].statuses = [503, 500]
    assert resolve_source(f"hf://{REPO}").sha256 == DIGEST


def test_a_hub_that_is_down(server: Loopback) -> None:
    server.repositories[REPO].statuses = [503] * 20
    with pytest.raises(SourceError, match="answered 503"):
        resolve_source(f"hf://{REPO}")


def test_errors_of_the_hub_say_what_to_do(server: Loopback) -> None:
    for text, expected in {
        "hf://nobody/nothing": "no such repository, or it is private",
        f"hf://{REPO}@nowhere": "no branch, tag or commit 'nowhere'",
    }.items():
        with pytest.raises(SourceError, match=expected):
            resolve_source(text)
    server.repositories[REPO].gated = True
    with pytest.raises(SourceError, match=r"is gated; request access.*HF_TOKEN"):
        resolve_source(f"hf://{REPO}")
    server.repositories[REPO].gated = False
    server.repositories[REPO].statuses = [403]
    with pytest.raises(SourceError, match=r"403.*valid access token"):
        resolve_source(f"hf://{REPO}")


def test_a_network_loads_from_a_repository(server: Loopback) -> None:
    network = random_network(tiny_config(), seed=3)
    config = {
        "model_type": "resnet",
        "depths": [1, 2],
        "hidden_sizes": [32, 64],
        "embedding_size": 8,
        "layer_type": "bottleneck",
        "id2label": {str(index): f"label {index}" for index in range(10)},
    }
    server.repositories["me/tiny"] = Repository(
        files={
            "config.json": HubFile(data=json.dumps(config).encode()),
            "model.safetensors": HubFile(data=save(network.state_dict()), large=True),
        }
    )
    checkpoint = load_checkpoint(resolve_source("hf://me/tiny").path)
    assert (checkpoint.config.stages, checkpoint.config.width, checkpoint.config.classes) == ((1, 2), 8, 10)
    assert checkpoint.labels and checkpoint.labels[3] == "label 3"
    for name, tensor in checkpoint.tensors.items():
        assert torch.equal(tensor, network.state_dict()[name]), name


def test_two_processes_fetch_a_repository_once(server: Loopback, tmp_path: Path) -> None:
    assert server.store
    server.store.files[f"/{DIGEST}"] = Served(data=BODY, chunk=30_000, pause_s=0.05)
    processes = [_in_a_process(f"hf://{REPO}", tmp_path) for _ in range(2)]
    first, second = (Path(process.communicate(timeout=60)[0].strip()) for process in processes)
    assert first == second
    assert (first / "model.safetensors").read_bytes() == BODY
    assert len(server.store.gets(f"/{DIGEST}")) == 1


def test_a_token_goes_to_the_hub_and_not_to_its_store(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.store
    server.repositories[REPO].token = "hf_secret"
    with pytest.raises(SourceError, match="HF_TOKEN"):
        resolve_source(f"hf://{REPO}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert resolve_source(f"hf://{REPO}").sha256 == DIGEST
    assert server.requests[-1].headers["authorization"] == "Bearer hf_secret"
    assert not any("authorization" in request.headers for request in server.store.requests)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"README.md": b""}, "has no config.json"),
        ({"config.json": CONFIG}, "neither model.safetensors nor pytorch_model.bin"),
        ({"config.json": CONFIG, "model.safetensors.index.json": b"{}"}, "several files"),
    ],
)
def test_a_repository_of_something_else(server: Loopback, files: dict[str, bytes], expected: str) -> None:
    server.repositories[REPO] = Repository(files={name: HubFile(data=data) for name, data in files.items()})
    with pytest.raises(SourceError, match=expected):
        resolve_source(f"hf://{REPO}")


def test_more_than_a_resnet_has_is_not_fetched(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 200_000)
    monkeypatch.setattr(hub_module, "MAX_BYTES", 200_000)
    with pytest.raises(SourceError, match="a ResNet has less than"):
        resolve_source(f"hf://{REPO}")
    server.repositories[REPO].files["model.safetensors"] = HubFile(data=BODY)
    with pytest.raises(SourceError, match="larger than"):
        resolve_source(f"hf://{REPO}")
    monkeypatch.setattr(hub_module, "MAX_CONFIG_BYTES", 10)
    server.repositories[REPO].commit = "3d" * 20
    server.repositories[REPO].files["config.json"] = HubFile(data=b'{"x": "something longer"}')
    with pytest.raises(SourceError, match=r"config\.json.*larger than"):
        resolve_source(f"hf://{REPO}")


@pytest.mark.parametrize("behaviour", [{"chunk": 1}, {"head_chunk": 1}], ids=["body", "headers"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_hub_that_sends_a_byte_now_and_then_is_given_up(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, name: str, behaviour: dict[str, int]
) -> None:
    monkeypatch.setattr(pace, "WINDOW_S", 0.3)
    monkeypatch.setattr(pace, "ANSWER_S", 0.3)
    slow = HubFile(data=bytes(10_000), large=name != "config.json", behaviour={"pause_s": 0.01, **behaviour})
    server.repositories[REPO] = timm_repository(**{name: slow})
    with pytest.raises(SourceError, match=r"(given up|did not answer)"):
        resolve_source(f"hf://{REPO}")
    assert threading.active_count() < 8


@pytest.mark.parametrize("commit", ["../../../outside", "nonsense"])
def test_a_hub_that_names_no_commit_is_refused(server: Loopback, tmp_path: Path, commit: str) -> None:
    server.repositories[REPO].commit = commit
    with pytest.raises(SourceError, match="does not respond like a Hugging Face hub"):
        resolve_source(f"hf://{REPO}")
    assert not list(tmp_path.rglob("outside*"))


@pytest.mark.parametrize("endpoint", ["http://example.org", "ftp://example.org", "nonsense", "https://["])
def test_an_endpoint_that_cannot_be_trusted(server: Loopback, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(SourceError, match="HF_ENDPOINT"):
        resolve_source(f"hf://{REPO}")


def test_an_endpoint_that_is_no_hub(server: Loopback, web: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{web.address}/portal")
    with pytest.raises(SourceError, match=r"404; check the name and HF_ENDPOINT"):
        resolve_source(f"hf://{REPO}")
    # As a captive portal answers everything.
    web.serve(f"/portal/{REPO}/resolve/main/config.json", b"<html>", etag='"1"')
    with pytest.raises(SourceError, match="does not seem to be served by a Hugging Face Hub"):
        resolve_source(f"hf://{REPO}")


def test_the_given_cache_and_hf_home_are_honoured(server: Loopback, tmp_path: Path) -> None:
    assert resolve_source(f"hf://{REPO}", cache=tmp_path / "own").path.is_relative_to(tmp_path / "own")
    environment = {**os.environ, "HF_HOME": str(tmp_path / "elsewhere"), "HF_ENDPOINT": server.address}
    process = _in_a_process(f"hf://{REPO}", None, environment)
    output = process.communicate(timeout=60)[0].strip()
    assert Path(output).is_relative_to(tmp_path / "elsewhere" / "hub")
    assert (Path(output) / "model.safetensors").read_bytes() == BODY


def _in_a_process(text: str, cache: Path | None, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    code = (
        "import sys, pathlib\nfrom resnetx.weights.sources import resolve_source\n"
        "cache = pathlib.Path(sys.argv[2]) if sys.argv[2] else None\n"
        "print(resolve_source(sys.argv[1], cache=cache).path)"
    )
    command = [sys.executable, "-c", code, text, str(cache or "")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
