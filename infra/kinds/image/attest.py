"""What an image is made of and how, rendered from its derivation: a scanner finds nothing in a static binary.

Both documents are pure: the same derivation gives the same bytes, so that attaching them twice changes nothing.
"""

from __future__ import annotations

from typing import Final

from infra.core import spdx
from infra.core.derivation import Json
from infra.kinds.image import buildx
from infra.kinds.image.buildx import LICENSES, SOURCE_URL, ImagePlan
from infra.kinds.image.spec import ImageStack

SPDX: Final = spdx.MEDIA_TYPE
PROVENANCE: Final = "application/vnd.in-toto+json"

_BUILD: Final = "https://pollex.invalid/image/v1"
"""Names the kind of build in provenance; docs/design.md says what it does."""


def documents(stack: ImageStack, plan: ImagePlan, digest: str) -> dict[str, str]:
    """Everything that is attached to the index with that digest: media type → text."""
    return {SPDX: spdx.text(sbom(stack, plan)), PROVENANCE: spdx.text(provenance(stack, plan, digest))}


def files(stack: ImageStack) -> dict[str, str]:
    """Every text that an image stack generates, for its reviewer: the build's command line, its parts, its key."""
    made = buildx.load(stack)
    return {
        "docker-buildx.txt": "\n".join(buildx.argv(made.request, builder=stack.image.builder)) + "\n",
        "image.spdx.json": spdx.text(sbom(stack, made)),
        "keys.json": spdx.text({"image": made.derivation.key}),
    }


def sbom(stack: ImageStack, plan: ImagePlan) -> dict[str, Json]:
    """What is in the image, as SPDX."""
    source = stack.source
    image = spdx.package("image", stack.image.name, stack.image.version, stack.image.repository)
    llama = spdx.package("llama.cpp", "llama.cpp", source.tag, f"git+{SOURCE_URL}@{source.commit}")
    llama["licenseDeclared"] = LICENSES
    llama["sourceInfo"] = f"git tree {source.tree}; patched: {', '.join(patch.name for patch in plan.series) or 'no'}"
    parts = [spdx.debian(name, version) for name, version in plan.packages.items()]
    return spdx.document(
        f"{stack.image.repository}:{stack.image.version}",
        plan.derivation.key,
        [image, llama, *parts],
        [
            spdx.relation("image", "CONTAINS", "llama.cpp"),
            # static: what the compilers bring is inside; the rest only made it
            *(
                spdx.relation("image", "CONTAINS", f"deb-{name}")
                if name in _INSIDE
                else spdx.relation(f"deb-{name}", "BUILD_TOOL_OF", "image")
                for name in plan.packages
            ),
        ],
        epoch=stack.image.epoch,
    )


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
    dependencies += [{"uri": spdx.deb(name, version)} for name, version in plan.packages.items()]
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


def _digest(reference: str) -> Json:
    algorithm, _, value = reference.rpartition("@")[2].partition(":")
    return {algorithm: value}
