"""What an image is made of and how, rendered from its derivation: a scanner finds nothing in a static binary.

Both documents are pure: the same derivation gives the same bytes, so that attaching them twice changes nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

from infra.core.derivation import Json
from infra.kinds.image import buildx
from infra.kinds.image.buildx import LICENSES, SOURCE_URL, ImagePlan
from infra.kinds.image.spec import ImageStack

SPDX: Final = "application/spdx+json"
PROVENANCE: Final = "application/vnd.in-toto+json"

_NAME: Final = "https://pollex.invalid/spdx"
"""Begins the documents' names, which must be URIs and need not lead anywhere (RFC 2606)."""
_BUILD: Final = "https://pollex.invalid/image/v1"
"""Names the kind of build in provenance; docs/design.md says what it does."""


def documents(stack: ImageStack, plan: ImagePlan, digest: str) -> dict[str, str]:
    """Everything that is attached to the index with that digest: media type → text."""
    return {SPDX: _text(sbom(stack, plan)), PROVENANCE: _text(provenance(stack, plan, digest))}


def files(stack: ImageStack) -> dict[str, str]:
    """Every text that an image stack generates, for its reviewer: the build's command line, its parts, its key."""
    made = buildx.load(stack)
    return {
        "docker-buildx.txt": "\n".join(buildx.argv(made.request, builder=stack.image.builder)) + "\n",
        "image.spdx.json": _text(sbom(stack, made)),
        "keys.json": _text({"image": made.derivation.key}),
    }


def sbom(stack: ImageStack, plan: ImagePlan) -> dict[str, Json]:
    """What is in the image, as SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/)."""
    source = stack.source
    image = _package("image", stack.image.name, stack.image.version, stack.image.repository)
    llama = _package("llama.cpp", "llama.cpp", source.tag, f"git+{SOURCE_URL}@{source.commit}")
    llama["licenseDeclared"] = LICENSES
    llama["sourceInfo"] = f"git tree {source.tree}; patched: {', '.join(patch.name for patch in plan.series) or 'no'}"
    parts = [_debian(name, version) for name, version in plan.packages.items()]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{stack.image.repository}:{stack.image.version}",
        "documentNamespace": f"{_NAME}/{plan.derivation.key}",
        "creationInfo": {"created": _time(stack), "creators": ["Tool: pollex"]},
        "packages": [image, llama, *parts],
        "relationships": [
            _relation("DOCUMENT", "DESCRIBES", "image"),
            _relation("image", "CONTAINS", "llama.cpp"),
            # static: what the compilers bring is inside; the rest only made it
            *(
                _relation("image", "CONTAINS", f"deb-{name}")
                if name in _INSIDE
                else _relation(f"deb-{name}", "BUILD_TOOL_OF", "image")
                for name in plan.packages
            ),
        ],
    }


_INSIDE: Final = {
    *("ca-certificates", "libc6-dev", "libc6-dev-arm64-cross"),
    *("g++-12", "g++-12-aarch64-linux-gnu", "golang-1.19-go"),
}
"""Packages of which a part is linked or copied into the image: C and C++ libraries, OpenMP, Go's own, certificates."""


def provenance(stack: ImageStack, plan: ImagePlan, digest: str) -> dict[str, Json]:
    """How the image was made, as SLSA 1.0 provenance in an in-toto statement (https://slsa.dev/spec/v1.0/provenance).

    It states the declaration, which anyone can build again and compare; it is not signed and no witness of a build.
    """
    source, request = stack.source, plan.request
    parameters: dict[str, Json] = {
        "platforms": list(request.platforms),
        "arguments": {name: value for name, value in request.args.items() if name != "MIRRORS"},
        "labels": dict(request.labels),
        "exports": list(request.exports),
    }
    dependencies: list[Json] = [
        {"uri": f"git+{SOURCE_URL}", "digest": {"gitCommit": source.commit, "gitTree": source.tree}},
        {"uri": stack.image.base.rpartition("@")[0], "digest": _digest(stack.image.base)},
    ]
    dependencies += [{"name": f"patches/{one.name}", "digest": {"sha256": one.sha256}} for one in plan.series]
    dependencies += [{"uri": _purl(name, version)} for name, version in plan.packages.items()]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": stack.image.repository, "digest": _digest(digest)}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD,
                "externalParameters": parameters,
                "internalParameters": {"derivation": dict(plan.derivation.inputs)},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {"id": _BUILD},
                "metadata": {"invocationId": plan.derivation.key},
            },
        },
    }


def _package(ident: str, name: str, version: str, location: str) -> dict[str, Json]:
    return {
        "SPDXID": f"SPDXRef-{ident}",
        "name": name,
        "versionInfo": version,
        "downloadLocation": location if "://" in location else "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    }


def _debian(name: str, version: str) -> dict[str, Json]:
    reference: Json = {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": _purl(name, version),
    }
    return {**_package(f"deb-{_ident(name)}", name, version, ""), "externalRefs": [reference]}


def _purl(name: str, version: str) -> str:
    quoted = version.replace("+", "%2B").replace(":", "%3A")
    return f"pkg:deb/debian/{name.replace('+', '%2B')}@{quoted}?distro=bookworm"


def _relation(one: str, kind: str, other: str) -> Json:
    return {
        "spdxElementId": f"SPDXRef-{_ident(one)}",
        "relationshipType": kind,
        "relatedSpdxElement": f"SPDXRef-{_ident(other)}",
    }


def _ident(name: str) -> str:
    """A name in the letters that an SPDX identifier may have."""
    return name.replace("+", "p")


def _digest(reference: str) -> Json:
    algorithm, _, value = reference.rpartition("@")[2].partition(":")
    return {algorithm: value}


def _time(stack: ImageStack) -> str:
    return datetime.fromtimestamp(stack.image.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(document: dict[str, Json]) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
