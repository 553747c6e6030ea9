"""The page loads nothing from elsewhere, and no text can become code in it."""

from __future__ import annotations

import os
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.testclient import TestClient

from pollex import web
from pollex.web import STATIC
from tests.browser.conftest import Watch
from tests.browser.standin import Standin, polished
from tests.browser.test_polish import polish

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>&amp;<a href='javascript:alert(3)'>x</a>"


def test_policy_allows_no_inline_code_and_no_other_host(standin: Standin) -> None:
    """One hole in the page would let a text send the others to a stranger."""
    policy = httpx.get(standin.url).headers["Content-Security-Policy"]
    directives = dict(directive.split(" ", 1) for directive in policy.split("; "))
    assert directives.pop("require-trusted-types-for") == "'script'"
    assert directives["default-src"] == "'none'"
    assert set(directives.values()) == {"'none'", "'self'"}
    assert {"base-uri", "form-action", "frame-ancestors"} <= directives.keys()


@pytest.mark.parametrize("file", sorted(path.name for path in STATIC.iterdir()))
def test_every_file_carries_the_headers(standin: Standin, file: str) -> None:
    """A file opened by itself would run without the policy, and an updated board would show its old page."""
    answer = httpx.get(f"{standin.url}/web/{file}")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = httpx.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]})
    assert (answer.headers["Cache-Control"], again.status_code) == ("no-cache", 304)


def test_an_update_shows_where_time_and_size_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who had the page open would go on with a part of the former one: in an image all files are of one time."""
    monkeypatch.setattr(web, "STATIC", tmp_path)
    file = tmp_path / "page.js"
    seen: dict[str, str] = {}
    with TestClient(Starlette(routes=web.routes())) as client:
        for content in ("let a = 1;", "let a = 2;"):
            file.write_text(content)
            os.utime(file, (0, 0))
            answer = client.get("/web/page.js", headers=seen)
            assert (answer.status_code, answer.text) == (200, content)
            seen = {"If-None-Match": answer.headers["ETag"], "If-Modified-Since": formatdate(usegmt=True)}
        assert client.get("/web/page.js", headers=seen).status_code == 304
        del seen["If-None-Match"]
        assert client.get("/web/page.js", headers=seen).status_code == 200


@pytest.mark.parametrize("path", ["/web/../__init__.py", "/web/%2e%2e/__init__.py", "/web/", "/web/none", "/none"])
def test_serves_nothing_else(standin: Standin, path: str) -> None:
    """The service's own files, settings among them, could be read by anybody."""
    assert httpx.get(standin.url + path).status_code == 404


def test_policy_is_in_force(page: Page, watch: Watch) -> None:
    """Where the policy had no force, or nobody looked, no test would see a violation; here one must be seen."""
    blocked = page.evaluate(
        """() => new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
            document.body.setAttribute("style", "color: red");
        })"""
    )
    assert blocked.startswith("style-src")
    while not watch.wrong:  # the console may be told after the page
        page.wait_for_timeout(20)
    assert "Content Security Policy" in watch.wrong.pop()


def test_text_stays_text(page: Page, standin: Standin) -> None:
    """A text with markup, the person's own or the model's, would run as code in the page."""
    standin.polish = polished(f"{EVIL} and more")
    polish(page, EVIL)
    assert page.locator("#outcome").text_content() == f"{EVIL} and more"
    page.click("#open-recent")
    expect(page.locator("#recent-list button")).to_contain_text("<img src=x")
    assert page.locator("main img, main script, dialog img").count() == 0


def test_says_when_texts_leave_the_board(page: Page, standin: Standin) -> None:
    """A person would hand a private letter to a company and think that it stays at home."""
    assert "Anthropic" not in page.locator("body").inner_text()
    standin.provider = "claude"
    page.reload()
    expect(page.locator("#upstream")).to_have_text("Ready. Texts are sent to Anthropic")
