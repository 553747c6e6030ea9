"""The service with a real llama-server and a real model."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import httpx
import pytest

from pollex import prompts
from pollex.settings import Settings
from pollex.upstream import Said, adapters
from tests.service.conftest import KEY, Llama, Service, Start
from tests.waiting import wait_until

SENTENCE = "I has went to the libary yesterday and buyed two book."
LONG = (
    "My brother go to school by bus every day, becuase the libary is far away. "
    "He recieve many book there and read them in the evening. "
    "Our mother work in a hospital and come home late. "
    "On sunday we all eats together and talks about the week."
)
SETTINGS = {"llamacpp_model": "small", "prompt_path": "polish-small"}


def ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz").status_code == 200


def polished_by(service: Service, text: str) -> str:
    """The text as the small model polishes it."""
    response = service.polish(text, "small")
    assert response.status_code == 200, response.text
    return str(response.json()["polished"])


def test_a_sentence(llama: Llama, start: Start) -> None:
    """If this fails, nobody gets a polished text from a real model, streamed or whole."""
    service = start(llamacpp_url=llama.url, **SETTINGS)
    wait_until(lambda: ready(service.url))
    whole = service.polish(SENTENCE, "small").json()
    assert "library yesterday" in whole["polished"]
    assert whole["polished"] != SENTENCE
    streamed = service.polish(SENTENCE, "small", headers={"Accept": "text/event-stream"}).text
    heard = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: ")]
    assert "".join(data.get("text", "") for data in heard) == heard[-1]["polished"] == whole["polished"]
    assert len(heard) > 8, "it did not come word by word"
    assert SENTENCE not in service.log.read_text()


@pytest.mark.parametrize("suffix", ["", "/v1"])
def test_how_sure_the_model_was(llama: Llama, suffix: str) -> None:
    """If this fails, a change that is a whim of the model's cannot be told from a sure one."""
    settings = {"llamacpp_url": llama.url + suffix, "llamacpp_probabilities": 3, "llamacpp_api_key": "k"}
    adapter = adapters(Settings.model_validate(settings))[0]

    async def ask() -> list[Said]:
        said = [part async for part in adapter.stream(prompts.load("polish-small"), SENTENCE, 60)]
        await adapter.close()
        return said

    said = asyncio.run(ask())
    tokens = [token for part in said for token in part.tokens]
    assert "".join(token.text for token in tokens) == "".join(said)
    assert all(token.logprob <= 0 and len(token.alternatives) == 3 for token in tokens)
    assert all(token.alternatives[0] == (token.text, token.logprob) for token in tokens), "it is not the likeliest"


def test_a_key(guarded: Llama, start: Start) -> None:
    """If this fails, a llama-server that wants a key cannot be used, or nobody learns what is wrong."""
    service = start(llamacpp_url=guarded.url, llamacpp_api_key=KEY, **SETTINGS)
    wait_until(lambda: ready(service.url))
    assert service.polish(SENTENCE, "small").status_code == 200
    stranger = start(llamacpp_url=guarded.url, llamacpp_api_key="wrong", **SETTINGS)
    refused = stranger.polish(SENTENCE, "small")
    assert (refused.status_code, "is llamacpp_api_key right?" in refused.json()["error"]) == (502, True)


def test_what_is_not_prose_survives(llama: Llama, start: Start) -> None:
    """If this fails, code, lists, links or white space of a text do not survive a real model."""
    service = start(llamacpp_url=llama.url, **SETTINGS)
    text = "\n  She dont like it.\n\n```sh\nteh --cmd\n```\n\n- he go home\n- see https://a.example/x?y=1\n\n\n"
    polished = polished_by(service, text)
    assert polished.startswith("\n  ")
    assert polished.endswith("\n\n\n")
    assert "\n\n```sh\nteh --cmd\n```\n\n- " in polished
    assert "https://a.example/x?y=1" in polished
    assert [line[:2] for line in polished.splitlines()[-4:-2]] == ["- ", "- "]


def test_cut_to_the_context(llama: Llama, start: Start) -> None:
    """If this fails, a text that does not fit the context is found out after minutes, or loses its end."""
    service = start(llamacpp_url=llama.url, split_chars=0, **SETTINGS)
    wait_until(lambda: ready(service.url))
    response = service.polish(" ".join([LONG] * 4), "small")
    assert response.status_code == 200, response.text
    assert response.json()["polished"].lower().count("on sunday") == 4


def test_counted_in_tokens(llama: Llama, start: Start) -> None:
    """If this fails, what cannot be cut to the context is sent, and the board works on it for minutes."""
    service = start(llamacpp_url=llama.url, split_chars=0, **SETTINGS)
    wait_until(lambda: ready(service.url))
    word = "Donaudampfschifffahrt" * 100
    response = service.polish(word, "small")
    assert response.status_code == 400
    tokens = len(httpx.post(f"{llama.url}/tokenize", json={"content": word}).json()["tokens"])
    assert response.json()["error"].startswith(f"text too long: {tokens} tokens (max ")
    assert not any(line.get("answered") for line in service.logged())


def test_long_texts_are_split(llama: Llama, start: Start) -> None:
    """If this fails, a text longer than the context cannot be polished at all."""
    service = start(llamacpp_url=llama.url, split_chars=300, **SETTINGS)
    text = "\n\n".join([LONG] * 2)
    assert polished_by(service, text).count("\n\n") == 1


def test_length_limit(llama: Llama, start: Start) -> None:
    """If this fails, half a text is returned as if it were the whole."""
    service = start(llamacpp_url=llama.url, decoding={"small": {"max_tokens": 4}}, **SETTINGS)
    body = {"text": SENTENCE, "model_id": "small", "changes": True}
    response = httpx.post(f"{service.url}/api/polish", json=body, timeout=60)
    assert (response.status_code, response.json()["polished"]) == (200, SENTENCE)
    assert [kept["reason"] for kept in response.json()["kept"]] == ["cut-short"]


def counted(llama: Llama, name: str) -> int:
    """One of llama-server's own counters."""
    lines = httpx.get(f"{llama.url}/metrics", timeout=30).text.splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith(f"llamacpp:{name} "))))


def test_cancellation_frees_the_slot(llama: Llama, start: Start) -> None:
    """If this fails, the board goes on working for somebody who has closed the page."""
    service = start(llamacpp_url=llama.url, split_chars=300, **SETTINGS)
    wait_until(lambda: ready(service.url))
    parts = 40
    body = {"text": "\n\n".join([LONG] * parts), "model_id": "small"}

    def watch_and_leave() -> None:
        asked = body | {"stream": True}
        with httpx.stream("POST", f"{service.url}/api/polish", json=asked, timeout=20) as response:
            next(line for line in response.iter_lines() if line == "event: delta")

    def wait_and_leave() -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{service.url}/api/polish", json=body, timeout=0.5)

    for leave in (watch_and_leave, wait_and_leave):
        leave()
        wait_until(lambda: not llama.busy(), seconds=60, what="the slot")
        assert service.polish("She dont like it.", "small").status_code == 200
    whole = parts * len(httpx.post(f"{llama.url}/tokenize", json={"content": LONG}).json()["tokens"])
    assert counted(llama, "tokens_predicted_total") < whole / 2, "it wrote on for nobody"


def test_restart_in_mid_stream(llama: Llama, start: Start) -> None:
    """If this fails, a restart of llama-server leaves a page waiting, or the service unable to go on."""
    service = start(llamacpp_url=llama.url, probe_seconds=0.2, **SETTINGS)
    wait_until(lambda: ready(service.url))
    body = {"text": LONG, "model_id": "small", "stream": True}
    with httpx.stream("POST", f"{service.url}/api/polish", json=body, timeout=20) as response:
        lines = response.iter_lines()
        next(line for line in lines if line == "event: delta")
        llama.end()
        rest = list(lines)
    assert "event: error" in rest
    assert json.loads(rest[rest.index("event: error") + 1][6:])["status"] == 502
    wait_until(lambda: not ready(service.url))
    llama.begin()
    wait_until(lambda: ready(service.url))
    assert service.polish(SENTENCE, "small").status_code == 200


def test_warm_up_after_each_start(llama: Llama, start: Start) -> None:
    """If this fails, the first user after a restart waits for the prompt to be read."""
    service = start(llamacpp_url=llama.url, probe_seconds=0.2, **SETTINGS)

    def warmed() -> int:
        return sum(line["msg"] == "warm" for line in service.logged())

    wait_until(lambda: warmed() == 1)
    llama.end()
    llama.begin()
    wait_until(lambda: warmed() == 2)


def test_the_first_user_does_not_pay(llama: Llama, start: Start, tmp_path: Path) -> None:
    """If this fails, the prompt is read again for the first text, which takes a board many seconds."""

    def read() -> int:
        return counted(llama, "prompt_tokens_total")

    prompt = tmp_path / "prompt.txt"
    prompt.write_text("You correct English text and answer with the corrected text alone. " * 10)
    service = start(llamacpp_url=llama.url, llamacpp_model="small", prompt_path=str(prompt))
    wait_until(lambda: ready(service.url))
    warm = read()
    assert warm > 100
    polished_by(service, SENTENCE)
    assert 0 < read() - warm < 40


def test_one_at_a_time(llama: Llama, start: Start) -> None:
    """If this fails, requests fight for the slot inside llama-server, where nobody sees their place in the queue."""
    service = start(llamacpp_url=llama.url, **SETTINGS)
    wait_until(lambda: ready(service.url))
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(service.polish(LONG, "small", headers={"Accept": "text/event-stream"}))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("event: done" in answer.text for answer in answers), [answer.text[-300:] for answer in answers]
    assert max(answer.text.count('"position"') for answer in answers) == 4, "nobody saw itself moving up from place 3"
