#!/bin/sh
# release-notes.sh TAG — prints the changelog's section of a version, once tag, package and image stack agree on it.
set -eu
version=${1#v}
fail() {
    printf 'release: %s\n' "$1" >&2
    exit 1
}
[ "v$version" = "$1" ] || fail "the tag is $1, not v and a version"
grep -qx "__version__ = \"$version\"" service/pollex/__init__.py ||
    fail "service/pollex/__init__.py has another version than $version: set it there first"
grep -q "^ *version: $version\$" stacks/Pulumi.image.yaml ||
    fail "stacks/Pulumi.image.yaml: pollex:image.version is not $version"
notes=$(awk -v heading="## $version" '
    index($0, "## ") == 1 { inside = ($0 == heading || index($0, heading " ") == 1); next }
    inside' CHANGELOG.md)
[ -n "$notes" ] || fail "CHANGELOG.md has no section ## $version: rename Unreleased"
printf '%s\n' "$notes"
