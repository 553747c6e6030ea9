# shellcheck shell=sh
# shellcheck disable=SC2154 # the variables of the sheet and of the tools are set by lib.sh
# source.sh — the source tree of a build: from the first mirror that yields the tree hash, then patched.
#
# A source is named by its git tree hash. Git checks every object it receives against its name, so a tree that has the
# right hash has the right content, whatever commit and whatever mirror it came with.

# git_here ARGUMENT… — the build's own repository, which is thrown away once the tree is patched.
git_here() {
    GIT_TERMINAL_PROMPT=0 git --git-dir="$work/git" --work-tree="$work/src" \
        -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=60 "$@" </dev/null
}

# fetch_source — leaves the verified tree in src/ and the mark `source`, which a resumed build believes.
fetch_source() {
    ! is_marked source || return 0
    wrong=''
    while IFS=' ' read -r form url <&3; do
        [ -n "$form" ] || continue
        phase source "$url"
        for how in filtered plain; do
            outcome=0
            try_mirror "$form" "$url" "$how" || outcome=$?
            case $outcome in
            0)
                mark source
                return
                ;;
            3) wrong=yes ;;
            esac
            # Only a remote that could not be used can do better without a filter, and only git has one.
            { [ "$outcome" -eq 1 ] && [ "$form" = git ] && can_filter; } || break
        done
    done 3<<END
$mirrors
END
    rm -rf -- "$work/git" "$work/src"
    [ -z "$wrong" ] || die 3 "no mirror has the tree $tree: correct pollex:source.tree or pollex:source.mirrors"
    die 8 "no mirror of the source could be used: see pollex:source.mirrors"
}

# try_mirror FORM URL filtered|plain — 0 the tree is checked out, 1 the mirror cannot be used, 3 it has another tree.
try_mirror() {
    new_repository
    case $1 in
    git) from_git "$2" "$3" ;;
    bundle) from_bundle "$2" ;;
    *)
        echo "pollex: mirror '$1 $2': the form is 'git' or 'bundle'"
        return 1
        ;;
    esac || {
        [ "$3" = filtered ] && [ "$1" = git ] && can_filter || echo "pollex: mirror $2 cannot be used: $(tail -n 1 "$work/git-said")"
        return 1
    }
    got=$(git_here rev-parse --verify -q 'FETCH_HEAD^{tree}' || echo unknown)
    if [ "$got" != "$tree" ]; then
        echo "pollex: mirror $2 has the tree $got, wanted $tree"
        return 3
    fi
    check_out || {
        echo "pollex: mirror $2 lacks a part of the tree: $(tail -n 1 "$work/git-said")"
        return 1
    }
}

# new_repository — empty, and limited to the top-level files and the folders that the build reads.
new_repository() {
    rm -rf -- "$work/git" "$work/src" "$work/source" "$work/patched"
    mkdir -p "$work/src"
    git_here init -q
    git_here config core.autocrlf false
    git_here config protocol.version 2
    if [ -n "$sparse" ]; then
        git_here config core.sparseCheckout true
        mkdir -p "$work/git/info"
        {
            printf '/*\n!/*/\n'
            printf '%s\n' "$sparse" | sed 's|.*|/&/|'
        } >"$work/git/info/sparse-checkout"
    fi
}

# can_filter — partial clones are usable since git 2.25.
can_filter() {
    [ "$(printf '2.25\n%s\n' "$(git --version | sed 's/[^0-9]*//; s/ .*//')" | sort -V | head -n 1)" = 2.25 ]
}

# from_git URL filtered|plain — the one commit.
from_git() {
    filter=''
    [ "$2" = plain ] || ! can_filter || filter=--filter=blob:none
    git_here remote add mirror "$1"
    case $1 in
    # A folder of this machine is served as a forge serves it.
    file://*) git_here config remote.mirror.uploadpack \
        "git -c uploadpack.allowFilter=true -c uploadpack.allowAnySHA1InWant=true -c 'safe.directory=*' upload-pack" ;;
    esac
    # shellcheck disable=SC2086 # an empty filter is no argument
    git_here fetch -q --no-tags --depth 1 $filter mirror "$commit" >"$work/git-said" 2>&1
}

# from_bundle URL — a bundle names its own commits; the one with the right tree is taken, whatever its hash.
from_bundle() {
    download_bundle "$1" >"$work/git-said" 2>&1 || return 1
    git_here bundle list-heads "$work/bundle" >"$work/heads" 2>"$work/git-said" || {
        rm -f -- "$work/bundle"
        return 1
    }
    fetched=1
    while IFS=' ' read -r _ ref <&4; do
        git_here fetch -q --no-tags "$work/bundle" "$ref" >"$work/git-said" 2>&1 || continue
        fetched=0
        [ "$(git_here rev-parse --verify -q 'FETCH_HEAD^{tree}')" != "$tree" ] || break
    done 4<"$work/heads"
    rm -f -- "$work/bundle"
    return "$fetched"
}

# download_bundle URL — resumed where a former attempt stopped, anew where the server refuses that.
download_bundle() {
    part=$work/bundle.part
    [ "$(cat "$part.url" 2>/dev/null)" = "$1" ] || rm -f -- "$part"
    printf '%s\n' "$1" >"$part.url"
    set -- curl -fsSL --connect-timeout 10 --retry 3 --speed-limit 1000 --speed-time 60 -o "$part" -C - -- "$1"
    "$@" || {
        status=$?
        # 22 and 33: what is here is whole already, or the server does not resume.
        case $status in 22 | 33) rm -f -- "$part" ;; *) return "$status" ;; esac
        "$@" || return
    }
    mv -- "$part" "$work/bundle"
}

# check_out — the tree, anew.
check_out() {
    rm -rf -- "$work/src" "$work/git/index"
    mkdir -p "$work/src"
    (cd "$work/src" && git_here read-tree -m -u "$tree") >"$work/git-said" 2>&1
}

# patch_source — applies the series; a power cut in between means a fresh checkout.
patch_source() {
    ! is_marked patched || return 0
    phase patch
    if [ -e "$work/patching" ]; then
        check_out || die 8 "cannot check the source out again: $(tail -n 1 "$work/git-said")" \
            "remove $work and run again"
    fi
    : >"$work/patching"
    if [ -f "$drv/series" ]; then
        while IFS= read -r patch <&3; do
            case $patch in '' | '#'*) continue ;; esac
            apply "$patch"
        done 3<"$drv/series"
    fi
    stamp_build_info
    mark patched
    rm -rf -- "$work/patching" "$work/git" "$work/git-said" "$work/heads"
}

# apply PATCH — tried first, so that a patch that does not apply changes nothing.
apply() {
    [ -f "$drv/patches/$1" ] || die 4 "patches/$1 is in the series but not in the sheet"
    set -- "$1" patch --strip=1 --fuzz=0 --forward --force --no-backup-if-mismatch -d "$work/src" -i "$drv/patches/$1"
    name_of_patch=$1
    shift
    "$@" --dry-run >"$work/patch-said" 2>&1 || {
        cat "$work/patch-said"
        die 4 "patches/$name_of_patch does not apply to $(refused_file "$work/patch-said")" \
            "upstream changed those lines: see patches/README.md#moving-the-pin"
    }
    "$@"
}

# refused_file LOG — the file that `patch` was at when it first refused a hunk, and the hunk.
refused_file() {
    awk '
        /^(checking|patching) file / { file = substr($0, index($0, "file ") + 5) }
        /^can.t find file to patch/ { missing = 1 }
        missing && /^[|]\+\+\+ / { print substr($2, 3) ", which is not there (pollex:build.sparse)"; found = 1; exit }
        /^Hunk #[0-9]+ FAILED/ { print file " (hunk " substr($2, 2) " at line " $5 + 0 ")"; found = 1; exit }
        /previously applied/ { print file ", which has that change already"; found = 1; exit }
        END { if (!found) print (file == "" ? "the source: " $0 : file) }
    ' "$1"
}

# stamp_build_info — llama.cpp asks git for its number and commit, and a checkout of one tree knows neither; so the
# two places of its template are filled in and no git folder is left for it to ask.
stamp_build_info() {
    template=$work/src/common/build-info.cpp.in
    [ -f "$template" ] || return 0
    sed -i "s/@BUILD_NUMBER@/${number:-0}/; s/@BUILD_COMMIT@/$(printf %.9s "$commit")/" "$template"
}

# mark NAME — remembers that a step is done for this tree, once what it made is on the disk.
mark() {
    sync -f "$work"
    printf '%s\n%s\n' "$tree" "$sparse" >"$work/$1"
}

# is_marked NAME — for the same tree and the same part of it?
is_marked() {
    [ "$(cat "$work/$1" 2>/dev/null)" = "$tree
$sparse" ]
}
