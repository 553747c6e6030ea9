"""The resources of our own provider (infra/provider), as a Pulumi program declares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NotRequired, TypedDict

import pulumi

TOOLS: Final = "/opt/pollex/bin/pollex-host"
"""The host side's one command, once its `prepare` has run."""


class ConnectionArgs(TypedDict):
    """How to log in to a host, spelt as the provider reads it."""

    address: pulumi.Input[str]
    port: NotRequired[pulumi.Input[int]]
    """22 unless given."""
    user: NotRequired[pulumi.Input[str]]
    """root unless given."""
    hostKey: NotRequired[pulumi.Input[str]]
    """One public key line, `ssh-ed25519 AAAA…`; without it the login is refused with the key that the host offers."""
    privateKey: NotRequired[pulumi.Input[str]]
    """The key's text (secret); without it every key of the agent is tried."""
    privateKeyPassword: NotRequired[pulumi.Input[str]]
    agentSocketPath: NotRequired[pulumi.Input[str]]
    """The agent's socket; SSH_AUTH_SOCK of the engine unless given."""
    proxy: NotRequired[pulumi.Input[ConnectionArgs]]
    """The machine in between."""


class PortArgs(TypedDict):
    """A TCP port that must be free."""

    port: pulumi.Input[int]
    unit: pulumi.Input[str]
    """The one unit that may hold it."""
    setting: pulumi.Input[str]
    """The setting that chooses it, for the error."""


class NeedsArgs(TypedDict, total=False):
    """What the preflight asks of a host; what is left out is not checked."""

    architecture: pulumi.Input[str]
    """As `uname -m` says it."""
    diskMb: pulumi.Input[int]
    """MB free on the file system of /opt; what /opt/pollex already holds counts as free."""
    memoryMb: pulumi.Input[int]
    commands: pulumi.Input[Sequence[str]]
    """Commands that must be there; one that is not named by its path may come with `packages`."""
    packages: pulumi.Input[Sequence[str]]
    """apt packages that will be installed."""
    bringsPython: pulumi.Input[bool]
    """Whether an interpreter for the tools is brought along where the host's own does not do; true unless given."""
    ports: pulumi.Input[Sequence[PortArgs]]
    """TCP ports that must be free."""
    users: pulumi.Input[Mapping[str, str]]
    """Accounts that must exist, each with the setting that names it."""


class Host(pulumi.CustomResource):
    """A host that passed the preflight and belongs to this stack; everything that is done to it depends on this.

    Creating and updating check everything that `needs` says and report all problems at once, each with the setting to
    change; only when there is none is the host marked. Deleting takes the mark away and leaves the host as it is. One
    that is replaced gives the host up before it takes it again, because it takes nothing that belongs to somebody.
    """

    identity: pulumi.Output[str]
    """32 hex digits, written at the first success; another one means another host, or one that was set up anew."""
    facts: pulumi.Output[dict[str, Any]]
    """`architecture`, `os`, `kernel`, `cores`, `memoryMb`, `machine`, as at the last preflight."""
    owner: pulumi.Output[str]
    """To whom the host belongs: `PROJECT/STACK#CLAIM`, where the claim is known to this state and no other."""

    def __init__(
        self,
        name: str,
        *,
        connection: pulumi.Input[ConnectionArgs] | Mapping[str, Any],
        sudo: pulumi.Input[bool],
        needs: pulumi.Input[NeedsArgs] | Mapping[str, Any],
        takeover: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare a host.

        Args:
            name: the resource's name.
            connection: how to log in.
            sudo: whether root's work runs through `sudo -n`; false when the login is root.
            needs: what the preflight asks.
            takeover: the owner from whom the host may be taken, as it is shown; None takes it from nobody.
            opts: the engine's options.
        """
        inputs: dict[str, Any] = {"connection": connection, "sudo": sudo, "needs": needs}
        inputs |= {"stack": f"{pulumi.get_project()}/{pulumi.get_stack()}"}
        inputs |= {} if takeover is None else {"takeover": takeover}
        outputs = dict.fromkeys(("identity", "facts", "owner", "address"))
        first = pulumi.ResourceOptions(delete_before_replace=True)
        super().__init__("pollex:index:Host", name, {**inputs, **outputs}, pulumi.ResourceOptions.merge(first, opts))


class Tools(pulumi.CustomResource):
    """The host's tools: delivered where they are others, or missing; with the Debian packages that they need."""

    hash: pulumi.Output[str]
    """Names the tools that are in force."""

    def __init__(
        self,
        name: str,
        *,
        connection: pulumi.Input[ConnectionArgs] | Mapping[str, Any],
        sudo: pulumi.Input[bool],
        hash: pulumi.Input[str],  # noqa: A002 - the input's name
        packages: pulumi.Input[Sequence[str]],
        identity: pulumi.Input[str],
        python: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the tools.

        Args:
            name: the resource's name.
            connection: how to log in.
            sudo: whether they are installed through `sudo -n`.
            hash: what `infra.hosttools.pollex_host.tools.tools_hash` says of infra/hosttools.
            packages: Debian packages that must be there.
            identity: the `identity` of the Host; another one gets them again.
            python: `sha256` and `urls` of a standalone CPython, for a host whose own is missing or too old.
            opts: the engine's options.
        """
        inputs = {"connection": connection, "sudo": sudo, "hash": hash, "packages": packages, "identity": identity}
        super().__init__("pollex:index:Tools", name, inputs | ({} if python is None else {"python": python}), opts)


class Bundle(pulumi.CustomResource):
    """Programs in the host's store that are packed where pulumi runs, and sent once."""

    path: pulumi.Output[str]
    """The store path."""
    how: pulumi.Output[str]
    """How it came there: `present`, `substituted`, `restored` or `received`."""

    def __init__(
        self,
        name: str,
        *,
        connection: pulumi.Input[ConnectionArgs] | Mapping[str, Any],
        sudo: pulumi.Input[bool],
        manifest: pulumi.Input[str],
        item: pulumi.Input[str],
        recipe: pulumi.Input[Mapping[str, Any]],
        identity: pulumi.Input[str],
        tools: pulumi.Input[str] = TOOLS,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare a bundle.

        Args:
            name: the resource's name.
            connection: how to log in.
            sudo: whether the tools run through `sudo -n`.
            manifest: the bundle, as `pollex-host ensure-bundle` reads it.
            item: the store path's name, `<key>-<name>`.
            recipe: what is packed, as `infra.kinds.host.bundle.Recipe.plain` gives it.
            identity: the `identity` of the Host; another one is asked again.
            tools: the path of pollex-host.
            opts: the engine's options.
        """
        inputs = {"connection": connection, "sudo": sudo, "manifest": manifest, "item": item, "recipe": recipe}
        inputs |= {"identity": identity, "tools": tools}
        super().__init__("pollex:index:Bundle", name, {**inputs, "path": None, "how": None}, opts)


class Generation(pulumi.CustomResource):
    """What is live on a host: activated behind the gate, watched item by item, deactivated at the end.

    A generation that fails its gate fails the update, and the host itself returns to the former one.
    """

    generation: pulumi.Output[str]
    """The id of the generation that is live; known once it has passed its gate."""
    live: pulumi.Output[dict[str, str]]
    """What is live, item by item (docs/design.md, live map)."""
    facts: pulumi.Output[dict[str, Any]]
    """What `pollex-host status` says of the host."""
    changed: pulumi.Output[list[str]]
    """The items that the last activation changed."""
    holder: pulumi.Output[str]
    """A name that no other resource has, under which the host knows who made live what is live."""

    def __init__(
        self,
        name: str,
        *,
        connection: pulumi.Input[ConnectionArgs] | Mapping[str, Any],
        sudo: pulumi.Input[bool],
        manifest: pulumi.Input[str],
        live: pulumi.Input[Mapping[str, str]],
        identity: pulumi.Input[str],
        owner: pulumi.Input[str],
        secrets: pulumi.Input[Mapping[str, str]] | None = None,
        tools: pulumi.Input[str] = TOOLS,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare what is live.

        Args:
            name: the resource's name.
            connection: how to log in.
            sudo: whether the tools run through `sudo -n`.
            manifest: the generation, as `pollex-host activate` reads it.
            live: item by item, what the host looks like when the generation is in force.
            identity: the `identity` of the Host; another one is activated again.
            owner: the `owner` of the Host: a host that belongs to another stack refuses to activate.
            secrets: texts of files that only the host may see, by their paths.
            tools: the path of pollex-host.
            opts: the engine's options.
        """
        inputs = {"connection": connection, "sudo": sudo, "manifest": manifest, "live": live}
        inputs |= {"identity": identity, "owner": owner, "tools": tools}
        inputs |= {} if secrets is None else {"secrets": secrets}
        outputs = {"generation": None, "facts": None, "changed": None, "holder": None}
        super().__init__("pollex:index:Generation", name, {**inputs, **outputs}, opts)
