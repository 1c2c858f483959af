#!/usr/bin/env bash
# What action.yml runs, in the checkout of the pull request: two environments, a race, its page.
# Everything comes in through the environment; see action.yml. Runs by hand as well:
#   PYBENCH=path/of/pybench ROW=my_echo:serve BASE=main bash race.sh
set -euo pipefail

: "${PYBENCH:?where pybench is installed from}" "${ROW:?what is to be raced, my_echo:serve}"
: "${BASE:?what to race against: give the input base, this is no pull request}"
INSTALL=${INSTALL:-'"$PYTHON" -m pip install --quiet .'}
work=$(mktemp -d "${RUNNER_TEMP:-/tmp}/pybench.XXXXXX")
results=$work/race.jsonl

git rev-parse --quiet --verify "$BASE^{commit}" >/dev/null || {
    git fetch --quiet --depth 1 origin "$BASE" # a checkout has one commit unless told
    BASE=FETCH_HEAD
}
git worktree add --quiet --detach "$work/base-tree" "$BASE"
checkout=$PWD
trap 'git -C "$checkout" worktree remove --force "$work/base-tree"' EXIT

environment() { # name, checkout
    python3 -m venv "$work/$1"
    "$work/$1/bin/python" -m pip install --quiet "$PYBENCH"
    (cd "$2" && PYTHON=$work/$1/bin/python bash -euc "$INSTALL")
}
environment base "$work/base-tree"
environment head "$checkout"

# Away from both checkouts: what is imported is what was installed.
mkdir "$work/away" && cd "$work/away"
status=0
"$work/head/bin/pybench" race \
    "base=$ROW@python:$work/base/bin/python" "head=$ROW@python:$work/head/bin/python" \
    --conns "${CONNS:-100}" --budget "${BUDGET:-60s}" --metric "${METRIC:-mps}" \
    --output "$results" || status=$?
((status <= 1)) || exit "$status" # 1: undecided when the budget was over, or a round failed

"$work/head/bin/pybench" report "$results" ${GITHUB_STEP_SUMMARY:+--github-summary} >/dev/null
"$work/head/bin/pybench" report "$results" --format json >ranking.json
"$work/head/bin/python" - ranking.json "$results" <<'END' >>"${GITHUB_OUTPUT:-/dev/stdout}"
import json, sys
worst, ratio = "", ""
order = ["slower", "undecided", "equal", "faster"]
for count in json.load(open(sys.argv[1]))["counts"]:
    for one in count["contenders"]:
        if one["name"].startswith("head") and (found := one["verdict"] or "undecided"):
            if not worst or order.index(found) < order.index(worst):
                worst, ratio = found, one["ratio"]
print(f"verdict={worst or 'undecided'}", f"ratio={ratio}", f"results={sys.argv[2]}", sep="\n")
if worst == "slower":
    open("slower", "w").close()
END
if [[ ${FAIL_ON_SLOWER:-false} == true && -e slower ]]; then
    echo "pybench: the head is slower than its base" >&2
    exit 1
fi
