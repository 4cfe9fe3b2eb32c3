"""Scripts that `Snapshot` runs in a sandbox's workspace, for POSIX shell and git 2.30.

`BASE` is the snapshot's commit, `FORMAT` a flag for `git init`, `SETTINGS` lines for its
configuration, `SHALLOW` and `TAGS` the contents of git's files for them, `EXTRAS` a tree of files
that are not part of the repository. No configuration of the host or the user is read.
"""

from __future__ import annotations

NO_REPOSITORY = 99
"""Exit code when the repository for making patches is gone."""

# Otherwise sources of an earlier repository would count as by-products.
CLEAR = """
if [ -d .git ] && [ ! -L .git ]; then
    GIT_DIR=.git git ls-files -z | xargs -0 rm -f -- || :
fi 2>/dev/null
"""

# `.git` is the model's; `.git/snapshot`, with the same objects, is for making patches. The kept
# pack survives any `git gc`.
REPOSITORY = """
set -eu
rm -rf .git
git init -q --template= $FORMAT .
git init -q --template= $FORMAT --bare .git/snapshot
git --git-dir=.git symbolic-ref HEAD refs/heads/main
printf '%s' "$SETTINGS" | tee -a .git/config >> .git/snapshot/config
echo ../../objects > .git/snapshot/objects/info/alternates
[ -z "$SHALLOW" ] || printf '%s' "$SHALLOW" > .git/shallow
[ -z "$TAGS" ] || printf '%s' "$TAGS" > .git/packed-refs
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD"
git index-pack --stdin --keep > /dev/null
git update-ref refs/heads/main "$BASE"
"""

# Once newer than this copy, the model's index may name files that are otherwise ignored.
_KEEP_INDEX = """
cp -p .git/index .git/snapshot/index
cp -p .git/index .git/snapshot/loaded
"""

CHECK_OUT = f"""
git -c checkout.workers=0 read-tree --reset -u "$BASE"
{_KEEP_INDEX}
if [ -n "$EXTRAS" ]; then
    export GIT_INDEX_FILE=.git/snapshot/extras
    git read-tree "$EXTRAS"
    git checkout-index -a -f -q
    unset GIT_INDEX_FILE
fi
git rev-parse HEAD
git ls-files -z --others --exclude-standard --directory --no-empty-directory
"""

KEEP_FILES = f'git read-tree "$BASE"{_KEEP_INDEX}'

EXCLUDE = """
set -e
mkdir -p .git/info .git/snapshot/info
cat > .git/info/exclude
cp .git/info/exclude .git/snapshot/info/exclude
"""

PRIVATE = f"""
[ -f .git/snapshot/HEAD ] && [ ! -L .git ] || exit {NO_REPOSITORY}
set -eu
export GIT_DIR="$PWD/.git/snapshot" GIT_WORK_TREE="$PWD"
"""

# Every diff reads files again that were checked out in the second in which the index was written,
# until the index is written again in a later one.
SETTLE = "git update-index -q --refresh --force-write-index > /dev/null 2>&1 || :\n"

# The index holds the base and is never added to, so that a patch depends on the work tree alone
# and not on earlier patches. Usually two processes, because this runs after each of the model's
# steps; names are quoted, as git reads them again. Files named on standard input are not part of a
# patch, even if they are no longer ignored. Of a repository that was created inside the work tree
# git names the directory only, so its files are looked up; a linked work tree's are copies.
DIFF = """
others=$(git -c core.quotePath=false ls-files --others --exclude-standard)
added=
nested=
if [ .git/index -nt "$GIT_DIR/loaded" ]; then
    added=$(GIT_INDEX_FILE=.git/index git diff-index --cached --name-only --diff-filter=A "$BASE" \
        2> /dev/null) || added=
fi
if [ -n "$others$added" ]; then
    export GIT_INDEX_FILE="$GIT_DIR/work"
    rm -rf "$GIT_INDEX_FILE" "$GIT_INDEX_FILE.lock"
    cp -p "$GIT_DIR/index" "$GIT_INDEX_FILE"
    case "$others
" in *'/
'* | *'/"
'*)
        nested=$(printf '%s\\n' "$others" | LC_ALL=C grep '/$') || nested=
        others=$(printf '%s\\n' "$others" | LC_ALL=C grep -v '/"\\{0,1\\}$') || others= ;; esac
    [ -z "$others" ] || printf '%s\\n' "$others" |
        git update-index --add --remove --replace --stdin
    [ -z "$added" ] || printf '%s\\n' "$added" |
        git update-index --add --remove --stdin 2> /dev/null || :
    printf '%s\\n' "$nested" | while IFS= read -r path; do
        [ -d "$path/.git" ] || continue
        find "./$path" -name .git -prune -o \\( -type f -o -type l \\) -print |
            git update-index --add --remove --replace --stdin
        git --literal-pathspecs ls-files -z --cached --ignored --exclude-standard -- "$path" |
            git update-index -z --force-remove --stdin
    done
    [ -z "$EXTRAS" ] || git update-index -z --force-remove --stdin
fi
export GIT_OPTIONAL_LOCKS=1
exec git diff --raw --patch --binary --full-index $RENAMES --no-color \
    --no-ext-diff --no-textconv --ignore-submodules=all --src-prefix=a/ --dst-prefix=b/ "$BASE"
"""

# Unreadable files, and pipes in place of files, keep git from reading a work tree.
UNBLOCK = """
chmod -R u+rwX . || :
find . -path ./.git -prune -o ! -type f ! -type d ! -type l -exec rm -f {} +
"""

TAKE_BYTES = "echo '* !working-tree-encoding' > .git/snapshot/info/attributes"
