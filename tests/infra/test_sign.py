"""The key that signs is made once, stays encrypted, and is shown to nobody."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra import ROOT, sign
from infra.core import signing

PULUMI = ROOT / ".toolchain" / "libexec" / "pulumi"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an empty stack `board`."""
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "public")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    new = [str(PULUMI), "stack", "init", "board", "--non-interactive", "--cwd", str(tmp_path)]
    subprocess.run(new, check=True, capture_output=True)
    return tmp_path


def test_a_key_is_made_once_and_stays_encrypted(project: Path) -> None:
    """If this fails, what was signed yesterday is refused today; or whoever sees the stack file can sign."""
    made = sign.key_of("board", pulumi=PULUMI, project=project)
    assert sign.key_of("board", pulumi=PULUMI, project=project).strip() == made.strip()
    inside = made.splitlines()[1]
    assert all(inside not in file.read_text(errors="replace") for file in project.rglob("*") if file.is_file())


def test_a_key_that_is_given_is_kept(project: Path, tmp_path: Path) -> None:
    """If this fails, a house that signs with a key of its own has to sign with two."""
    mine, other = tmp_path / "mine.pem", tmp_path / "other.pem"
    mine.write_text(signing.new_key())
    other.write_text(signing.new_key())
    kept = sign.key_of("board", mine, pulumi=PULUMI, project=project)
    assert signing.public_key(kept) == signing.public_key(mine.read_text())
    with pytest.raises(sign.NoKeyError, match=r"has another key; to part with it: pulumi config rm pollex:cache"):
        sign.key_of("board", other, pulumi=PULUMI, project=project)


@pytest.mark.parametrize("curve", ["secp384r1", "none"])
def test_a_key_that_hosts_cannot_check_is_refused(project: Path, tmp_path: Path, curve: str) -> None:
    """If this fails, everything is signed, and no host believes any of it."""
    wrong = tmp_path / "wrong.pem"
    if curve == "none":
        wrong.write_text("hunter2-canary")
    else:
        subprocess.run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", str(wrong)], check=True)
    with pytest.raises(sign.NoKeyError, match="is no private key") as refused:
        sign.key_of("board", wrong, pulumi=PULUMI, project=project)
    assert "hunter2" not in str(refused.value)


def test_what_is_signed_here_openssl_believes(tmp_path: Path) -> None:
    """If this fails, no host takes anything out of a cache."""
    key = signing.new_key()
    public, text = tmp_path / "public.pem", tmp_path / "text"
    subprocess.run(
        ["openssl", "ec", "-pubout", "-out", str(public)], input=key.encode(), capture_output=True, check=True
    )
    assert "".join(public.read_text().splitlines()[1:-1]) == signing.public_key(key)
    text.write_text("what is said")
    assert signing.is_signed(signing.public_key(key), text.read_bytes(), signing.signature(key, text.read_bytes()))
    with text.open("rb") as content:
        (tmp_path / "sig").write_bytes(signing.file_signature(key, content))
    verify = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(tmp_path / "sig"), str(text)]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0
    text.write_text("what was said")
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 1
