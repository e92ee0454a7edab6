"""Weights from a web server and a hub on loopback that misbehave; what a file's card names is never fetched."""

import hashlib

from tests.fuzz.case import HOSTILE_TEXTS, Family, Setting, damaged
from tests.support.loopback import HubFile, Loopback, Repository

OPTIONS = ("--image-size", "32", "--classes", "3", "-o", "out/m.onnx")


def _hurry() -> None:
    from resnetx.weights.remote import download, hub

    for module in (download, hub):
        module.PAUSES_S = (0, 0, 0, 0)  # type: ignore[attr-defined]


def web(setting: Setting) -> list[str]:
    rng = setting.rng
    _hurry()
    body = setting.corpus.safe.read_bytes()
    digest = hashlib.sha256(body).hexdigest()
    server = Loopback()  # of this case's process, with which it ends
    file = server.serve("/w.safetensors", rng.choice([body, body, damaged(rng, body), b""]))
    for _ in range(rng.choice([1, 2])):
        match rng.randrange(8):
            case 0:
                file.statuses = rng.choices([404, 500, 503, 429, 206, 304, 301, 200, 999, 204], k=rng.choice([1, 9]))
            case 1:
                file.cuts = [rng.randrange(len(body)) for _ in range(rng.choice([1, 20]))]
            case 2:
                file.redirect = rng.choice(
                    [
                        "/w.safetensors",
                        "http://169.254.169.254/",
                        "file:///etc/passwd",
                        "//x",
                        "",
                        "http://[",
                        "https://127.0.0.1:1/",
                    ]
                )
            case 3:
                file.headers = {"Content-Length": rng.choice(["-1", "x", "9" * 30, "0"])}
            case 4:
                file.etag = rng.choice(['"a\t"', "x" * 5000, '""', 'W/"a"'])
            case 5:
                file.content_range = rng.choices(["bytes 0-0/1", "bytes */9", "x", "bytes 9-1/5"], k=5)
                file.cuts = [100] * 3
            case 6:
                file.announce_length = False
            case _:
                file.headers = {"Content-Encoding": rng.choice(["gzip", "x", "deflate, br"])}
    address = rng.choice(
        [
            f"{server.address}/w.safetensors#sha256={rng.choice([digest, digest, '0' * 64, 'x', ''])}",
            f"{server.address}/{rng.choice(HOSTILE_TEXTS[:5])[:3000]}#sha256={digest}".replace("\x00", ""),
            f"{server.address}/w.safetensors",
        ]
    )
    return ["export", "--weights", address, *OPTIONS]


def hub(setting: Setting) -> list[str]:
    rng = setting.rng
    _hurry()
    server = Loopback()
    server.store = Loopback()
    body = setting.corpus.safe.read_bytes()
    texts = (b'{"model_type": "resnet"}', b"[" * 100_000, b"", b"null", b'{"model_type": "\\ud800"}', b"\xff\xfe")
    files = {
        "config.json": HubFile(data=rng.choice(texts), etag=rng.choice([None, None, "x", "a" * 5000])),
        "model.safetensors": HubFile(data=rng.choice([body, damaged(rng, body)]), large=rng.random() < 0.5),
    }
    if rng.random() < 0.3:
        files["model.safetensors"].etag = rng.choice(["0" * 64, "../../x", ""])
    statuses = rng.choices([500, 503, 404, 401, 403, 418, 200], k=rng.choice([0, 1, 9]))
    server.repositories["a/b"] = Repository(files=files, gated=rng.random() < 0.1, statuses=statuses)
    setting.environment["HF_ENDPOINT"] = server.address
    names = (
        "a/b",
        "a/b",
        "a/b@main",
        "a/b@\x1b[2J",
        "a/c",
        "../x",
        "a",
        "a/b/c",
        "a/b@" + "x" * 3000,
        "A" * 3000 + "/b",
    )
    return ["export", "--weights", f"hf://{rng.choice(names)}", *OPTIONS]


FAMILIES = {
    "web": Family(build=web, share=6, limit_s=40),
    "hub": Family(build=hub, share=5, limit_s=40),
}
