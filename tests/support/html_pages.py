"""Pages as their readers see them: a strict parser, hostile names, and what must be true of every page."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

HOSTILE = (
    "<script>alert(1)</script>.onnx",
    '"><img src=x onerror=alert(1)>.onnx',
    "</style><style>@import url(http://evil.example/x)</style>",
    "' onmouseover='alert(1)",
    "</title></svg></pre><script>alert(1)</script>",
    "a\x00b\x1b[31m\u202egnp\udc80.onnx",
    "<!-- --> ]]> &lt;script&gt; {{x}}",
)
VOID = {"meta", "br"}
# Texts on their grounds that are below the 4.5 to 1 that small text needs.
CONTRAST = """(() => {
  const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
  };
  return [...document.querySelectorAll("body *")].filter((e) =>
    [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && !e.closest("script, title, desc")
  ).map((e) => {
    const style = getComputedStyle(e);
    const own = light(parse(e.closest("svg") ? style.fill : style.color));
    const under = light(ground(e));
    return [(Math.max(own, under) + 0.05) / (Math.min(own, under) + 0.05), e.textContent];
  }).filter(([ratio]) => !(ratio >= 4.5));
})()"""


class Page(HTMLParser):
    """A strict reading: every element is closed by its own tag."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} repeats an attribute: {names}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def inside(self, tag: str) -> list[str]:
        return [data for name, data in self.texts if name == tag]

    @property
    def words(self) -> str:
        return "".join(data for name, data in self.texts if name not in ("style", "script"))


def policy_of(page: Page) -> dict[str, str]:
    (policy,) = [m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    return dict(part.strip().split(" ", 1) for part in policy.split(";"))


def digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def assert_sound(text: str) -> Page:
    """Closed elements, unique names, links that lead somewhere, no requests, only the page's own style and script."""
    text.encode()
    page = Page(text)
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names)), names
    assert {str(link["href"])[1:] for link in page.named("a")} <= set(names)
    policy, script = policy_of(page), "".join(page.inside("script"))
    assert policy["default-src"] == "'none'" and policy["style-src"] == digest("".join(page.inside("style")))
    assert policy.get("script-src") == (digest(script) if script else None)
    tags = [tag for tag, _ in page.elements]
    assert tags.index("style") > tags.index("meta") + 1, "a policy holds only for what comes after it"
    assert not {"link", "img", "iframe", "object", "embed", "base", "form", "image", "use"} & set(tags)
    for _, attributes in page.elements:
        assert "style" not in attributes and not [name for name in attributes if name.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)
    drawn = "".join(re.findall(r"<svg.*?</svg>", text))
    assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"<(title|desc)[^>]*>.*?</\1>|<text[^>]*>.*?</text>", "", drawn))
    for svg in page.named("svg"):
        assert svg["role"] == "img" and {svg["aria-labelledby"], svg["aria-describedby"]} <= set(names)
    return page


def unexplained_dashes(text: str) -> list[str]:
    """The columns of dashes that no sentence below their table explains."""
    missing = []
    for table, below in re.findall(
        r"<table(.*?)</table></div>(.*?)(?=<div class=\"scroll|<section|$)", text, re.DOTALL
    ):
        for title in re.findall(r'data-title="([^"]*)"[^>]*><span class="dim">–</span>', table):
            explained = re.search(r'class="small dim dashes">(.*?)</p>', below, re.DOTALL)
            if explained is None or title not in explained[1]:
                missing.append(title)
    return missing


def head_of(text: str) -> str:
    """The words of a page's first part, which say what it is about."""
    return Page(text.partition("<header>")[2].partition("</header>")[0]).words
