"""What is said of known vulnerabilities, by what the programs that ask print."""

from __future__ import annotations

import json

from infra.toolchain import audit


def test_what_is_known_of_python_packages() -> None:
    """If this fails, a known vulnerability is passed over, or nobody learns what mends it."""
    answer = {
        "dependencies": [
            {"name": "h11", "version": "0.14.0", "vulns": [{"id": "CVE-2025-43859", "fix_versions": ["0.16.0"]}]},
            {"name": "idna", "version": "3.11", "vulns": []},
        ],
        "fixes": [],
    }
    known = audit.of_python("requirements/service.txt", json.dumps(answer), "Found 1 known vulnerability")
    assert str(known) == "requirements/service.txt\n  h11 0.14.0: CVE-2025-43859, mended in 0.16.0"
    assert not known.unasked


def test_what_is_known_of_go_modules() -> None:
    """If this fails, govulncheck's findings are lost."""
    answer = "=== Module Results ===\n\nVulnerability #1: GO-2025-3503\n    HTTP Proxy bypass\n"
    assert audit.of_go("go.mod", 3, answer, "").known == ("Vulnerability #1: GO-2025-3503",)
    assert audit.of_go("go.mod", 0, "No vulnerabilities found.\n", "") == audit.Verdict("go.mod")


def test_silence_is_no_all_clear() -> None:
    """If this fails, an audit without a network, or of half the packages, reads as one that found nothing."""
    answer = {"dependencies": [{"name": "h11", "skip_reason": "Dependency not found on PyPI"}], "fixes": []}
    for verdict in (
        audit.of_python("a.txt", "", "ConnectionError: Failed to resolve 'api.osv.dev'"),
        audit.of_python("a.txt", json.dumps(answer), ""),
        audit.of_go("go.mod", 1, "", 'govulncheck: fetching vulnerabilities: dial tcp: lookup "vuln.go.dev"'),
        audit.of_go("go.mod", 1, "", ""),
    ):
        assert verdict.unasked
        assert "could not be asked: " in str(verdict)
        assert "none known" not in str(verdict)
