"""What `Snapshot` runs in a sandbox: POSIX shell and git 2.30, in the workspace.

`BASE` is the snapshot's commit, `FORMAT` a flag for `git init`, `SETTINGS` lines for its
configuration. Nothing of the host's or the user's configuration is read.
"""

from __future__ import annotations

NO_REPOSITORY = 99
"""Exit code: the repository that patches are made with is gone."""

# Sources that an earlier repository put here would be taken for by-products otherwise.
CLEAR = """
if [ -d .git ] && [ ! -L .git ]; then
    GIT_DIR=.git git ls-files -z | xargs -0 rm -f -- || :
fi 2>/dev/null
"""

# `.git` is the model's; `.git/snapshot`, over the same objects, is what patches are made with. The
# kept pack survives any `git gc`.
REPOSITORY = """
set -eu
rm -rf .git
git init -q --template= $FORMAT .
git init -q --template= $FORMAT --bare .git/snapshot
git --git-dir=.git symbolic-ref HEAD refs/heads/main
printf '%s' "$SETTINGS" | tee -a .git/config >> .git/snapshot/config
echo ../../objects > .git/snapshot/objects/info/alternates
export GIT_DIR="$PWD/.git" GIT_WORK_TREE="$PWD"
git index-pack --stdin --keep > /dev/null
git update-ref refs/heads/main "$BASE"
"""

CHECK_OUT = """
git read-tree --reset -u "$BASE"
cp -p .git/index .git/snapshot/index
git rev-parse HEAD
git ls-files -z --others --exclude-standard --directory --no-empty-directory
"""

KEEP_FILES = 'git read-tree "$BASE"; cp -p .git/index .git/snapshot/index'

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

# Each patch starts from the base, so that it depends on the work tree alone and not on earlier
# patches. Renames are not looked for where a link changes: the patch must show its target.
DIFF = """
cd "$GIT_WORK_TREE"; lists="$GIT_DIR/lists"; rm -rf "$lists" "$GIT_DIR"/index.lock; mkdir "$lists"
git read-tree -m "$BASE"
git diff-files -z --name-only --ignore-submodules=all --diff-filter=D > "$lists/deleted"
git update-index -z --force-remove --stdin < "$lists/deleted"
git diff-files -z --name-only --ignore-submodules=all > "$lists/changed"
git ls-files -z --others --exclude-standard > "$lists/untracked"
LC_ALL=C grep -zv '/$' < "$lists/untracked" >> "$lists/changed" || :
git update-index -z --add --remove --replace --stdin < "$lists/changed"
if GIT_INDEX_FILE="$GIT_WORK_TREE/.git/index" git diff-index --cached -z --name-only \
    --diff-filter=A "$BASE" > "$lists/added"; then
    git update-index -z --add --remove --stdin < "$lists/added" || :
fi 2> /dev/null
renames=--find-renames
case "$(git diff-index --cached "$BASE")" in
    *:120000\\ * | *:??????\\ 120000\\ *) renames=--no-renames ;;
esac
exec git diff-index --cached --patch --binary --full-index $renames \
    --no-color --no-ext-diff --no-textconv "$BASE"
"""

# Files nobody may read, and pipes in the place of files, keep git from reading a work tree.
UNBLOCK = """
chmod -R u+rwX . || :
find . -path ./.git -prune -o ! -type f ! -type d ! -type l -exec rm -f {} +
"""

TAKE_BYTES = "echo '* !working-tree-encoding' > .git/snapshot/info/attributes"
