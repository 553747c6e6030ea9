"""Versions of JetPack 4.6, and since when there is what is used of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program of the host, in JetPack's version."""

    jetpack: str
    """Of Ubuntu 18.04, which JetPack 4.6 is made from."""
    oldest: str = ""
    """Of Debian 11, which a stand-in board runs; empty where nobody looks."""
    source: str
    """Where what `since` says was looked up."""
    since: Mapping[str, str]
    """Version to what it brought, or what it knows already: words with blanks in between. What nobody has looked up
    stands under no version; every Debian since 2005 has it."""
    instead: Mapping[str, str] = field(default_factory=dict)
    """What is newer than JetPack's, to what happens there."""


_POSIX: Final = "POSIX.1-2008, XCU"
_NOWHERE: Final = "not looked up"

PROGRAMS: Final[Mapping[str, Program]] = {
    "apt": Program(
        jetpack="1.6",
        source="the source of 1.6",
        since={"1.6": "apt-get -o -q -qq -y install update Acquire::Retries=3"},
    ),
    "binutils": Program(jetpack="2.30", source=_NOWHERE, since={"": "strip"}),
    "cmake": Program(
        jetpack="3.10",
        oldest="3.18",
        source="Help/ of v3.10.0, v3.14.0 and v3.15.0",
        since={
            "3.10": """--build --target --version cmake CMAKE_BUILD_TYPE CMAKE_RUNTIME_OUTPUT_DIRECTORY
                CMAKE_…_COMPILER_LAUNCHER""",
            "3.15": "CMAKE_PROJECT_INCLUDE",
        },
        instead={"CMAKE_PROJECT_INCLUDE": "`make board` brings CMake 3.27.9, which the tools find first"},
    ),
    "coreutils": Program(
        jetpack="8.28",
        oldest="8.32",
        source="NEWS, and the source of v8.28",
        since={
            "5.3.0": "mv-T mv-fT",
            "6.0": "sha256sum-c",
            "7.6": "cp--reflink",
            "8.28": """cat chmod cp cut-f date date-s date-u df-Pk dirname du-sm du-sxk head-n id id-u id-un mkdir
                mkdir-p mv-f od-An od-N16 od-tx1 readlink readlink-f rm-f rm-rf rmdir sort-u sync tr tr-d uname-m
                uname-n uname-r""",
        },
    ),
    "curl": Program(
        jetpack="7.58",
        oldest="7.74",
        source="`Added:` in docs/cmdline-opts",
        since={
            "4.9": "-C -fL -o --speed-limit --speed-time",
            "5.9": "-fsSL -sS",
            "7.7": "--connect-timeout",
            "7.12.3": "--retry --retry-max-time",
            "7.21.0": "--proto",
        },
    ),
    "dpkg": Program(
        jetpack="1.19",
        source="the source of 1.19.0.5",
        since={"1.19": "--configure --force-confdef --force-confold -a dpkg-query-W dpkg-query-f"},
    ),
    "findutils": Program(jetpack="4.7", source=_NOWHERE, since={"": "find-lname"}),
    "git": Program(
        jetpack="2.17",
        oldest="2.30",
        source="Documentation/ and protocol.c of v2.17.0 and v2.18.0",
        since={
            "2.17": """--depth --git-dir --no-tags --verify --version --work-tree -c -m -q -u bundle config fetch git
                init read-tree remote rev-parse http.lowSpeedLimit=1000 http.lowSpeedTime=60 core.autocrlf=false
                core.sparseCheckout=true remote.mirror.uploadpack=…""",
            "2.18": "protocol.version=2",
            "2.25": "--filter=blob:none",
        },
        instead={
            "protocol.version=2": "is not asked for: a git before 2.18 refuses every fetch where it is",
            "--filter=blob:none": "the one commit is fetched with all its files, as by every git before 2.25",
        },
    ),
    "glibc": Program(jetpack="2.27", oldest="2.31", source=_NOWHERE, since={"": "getconf ldd"}),
    "grep": Program(jetpack="3.1", source=_POSIX, since={"": "-q -qF -qxF -vxF"}),
    "iproute2": Program(jetpack="4.15", source=_NOWHERE, since={"": "route"}),
    "mawk": Program(
        jetpack="1.3.3", oldest="1.3.4", source=_POSIX, since={"": "awk awk-F: awk-F/ awk-v int() length() substr()"}
    ),
    "ninja": Program(jetpack="1.8", oldest="1.10", source="the source of v1.8.2", since={"1.8": "-C -n ninja"}),
    "openssh": Program(
        jetpack="7.6",
        oldest="8.4",
        source="OpenSSH's release notes",
        since={"5.7": "ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521", "6.5": "ssh-ed25519"},
    ),
    "openssl": Program(jetpack="1.1.1", oldest="1.1.1", source=_NOWHERE, since={"": "-sha256 -signature -verify dgst"}),
    "patch": Program(
        jetpack="2.7",
        source=_NOWHERE,
        since={"": "--dry-run --force --forward --fuzz --no-backup-if-mismatch --strip patch"},
    ),
    "python": Program(
        jetpack="3.6",
        oldest="3.9",
        source="What's New In Python; requires-python of the service",
        since={"3.4": "python3 python3-I python3-S python3-c", "3.9": "tools", "3.11": "service"},
        instead={
            "tools": "a standalone Python is brought (`pollex:polish.python`), and they run on it",
            "service": "the same one is part of its bundle",
        },
    ),
    "sed": Program(jetpack="4.4", source="the source of v4.4", since={"4.4": "-i -n"}),
    "sudo": Program(
        jetpack="1.8.21",
        oldest="1.9",
        source="the source of 1.8.21",
        since={"1.8.21": "-n sudo visudo visudo-c visudo-f visudo-q"},
    ),
    "systemd": Program(
        jetpack="237",
        oldest="247",
        source="systemd's NEWS; systemd.resource-control(5) for MemoryMax=",
        since={
            "": """After= CapabilityBoundingSet= Description= Environment= EnvironmentFile= ExecStart= ExecStartPre=
                ExecStop= ExecStopPost= IOSchedulingClass= LimitCORE= LimitMEMLOCK= Nice= OOMScoreAdjust= PrivateTmp=
                RemainAfterExit= Restart= RestartSec= SupplementaryGroups= TimeoutStartSec= TimeoutStopSec= Type= UMask=
                User= WantedBy= Wants= Before= PartOf= daemon-reload disable enable get-default is-active reset-failed
                restart show start stop systemctl systemctl--no-block systemctl-p systemctl-q journalctl--no-pager
                journalctl--since journalctl-n journalctl-o journalctl-u""",
            "208": "DeviceAllow= DevicePolicy=",
            "209": "PrivateDevices= SystemCallFilter= SystemCallArchitectures= SystemCallErrorNumber=",
            "211": "RestrictAddressFamilies=",
            "214": "ProtectHome= ProtectSystem=",
            "220": "systemctl--now",
            "227": "NoNewPrivileges= TasksMax=",
            "228": "journalctl--sync",
            "230": "systemctl--value",
            "231": """MemoryDenyWriteExecute= MemoryHigh= MemoryMax= RestrictRealtime= @clock @cpu-emulation @debug
                @keyring @module @mount @obsolete @privileged @raw-io""",
            "232": "DynamicUser= RemoveIPC= ProtectControlGroups= ProtectKernelModules= ProtectKernelTunables=",
            "233": "RestrictNamespaces= @reboot @resources @swap",
            "235": "CacheDirectory= IPAddressAllow= IPAddressDeny= LockPersonality= StateDirectory=",
        },
    ),
    "tar": Program(jetpack="1.29", oldest="1.34", source=_NOWHERE, since={"": "--exclude --no-same-owner -C -f -xz"}),
}

OLDEST: Final = {name: program.oldest for name, program in PROGRAMS.items() if program.oldest}
"""What a stand-in board of the oldest release must show."""


def known() -> dict[tuple[str, str], str]:
    """Program and feature to the version that has it."""
    return {
        (name, feature): version
        for name, program in PROGRAMS.items()
        for version, features in program.since.items()
        for feature in features.split()
    }


def unanswered(used: Iterable[tuple[str, str]]) -> list[str]:
    """What JetPack lacks, or nobody has put into the table, of what is used: one line each."""
    versions, said = known(), []
    for name, feature in sorted(used):
        program = PROGRAMS[name]
        if (name, feature) not in versions:
            said.append(
                f"{name}: {feature} stands in no line of infra/jetpack/table.py; look up since when it is there"
            )
        elif newer(versions[name, feature], program.jetpack) and feature not in program.instead:
            said.append(f"{name}: {feature} came with {versions[name, feature]}, and JetPack has {program.jetpack}")
    return said


def newer(version: str, than: str) -> bool:
    """Whether a version is a later one, as far as both are given."""
    if not version:
        return False
    pairs = zip(version.split("."), than.split("."), strict=False)
    mine, its = zip(*((int(one), int(other)) for one, other in pairs), strict=True)
    return mine > its
