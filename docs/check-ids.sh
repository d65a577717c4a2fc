#!/bin/sh
# Fails if a comment in the code cites an id that docs/specification does not explain.
#
# Cited:     in a `//`, `///` or `//!` comment of a Rust file under src, transports, examples or tests.
# Explained: in the first cell of a table row, or in a heading, of a file under docs/specification.
#
# Ids: AN-… EN-… RA-…  D A E X R S with one or two digits  G with 1 to 7  I- with one digit.
#
# usage: docs/check-ids.sh
# exit:  0 all explained, 1 some are not, 2 there was nothing to check

# What looks like an id and is none. Separate by blanks.
allow=''

set -eu
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 2' HUP INT TERM

# Reads lines "place<TAB>text", prints "id<TAB>place" for each id in the text. Brackets instead of intervals and of
# \b, which not every awk knows.
cat >"$scratch/ids.awk" <<'AWK'
function word(c) { return c ~ /[A-Za-z0-9_]/ }
function blank(n,   s) { s = sprintf("%" n "s", ""); return s }
{
    tab = index($0, "\t")
    place = substr($0, 1, tab - 1)
    text = " " substr($0, tab + 1) " "

    # Ids with a prefix first; they are then blanked, so that the D1 of EN-D1 is not taken for a decision.
    rest = text
    gone = ""
    while (match(rest, /(AN|EN|RA)-(1[A-Z]|[A-Z])[A-Za-z0-9]*/)) {
        before = substr(rest, RSTART - 1, 1)
        id = substr(rest, RSTART, RLENGTH)
        next1 = substr(rest, RSTART + RLENGTH, 1)
        next2 = substr(rest, RSTART + RLENGTH + 1, 1)
        length1 = RLENGTH
        # EN-M+ and EN-M-; a hyphen that joins words ("EN-A1-like") is none of the id.
        if (id == "EN-M" && (next1 == "+" || (next1 == "-" && !word(next2)))) {
            id = id next1
            length1++
        }
        if (!word(before) && before != "-") print id "\t" place
        gone = gone substr(rest, 1, RSTART - 1) blank(length1)
        rest = substr(rest, RSTART + length1)
    }
    text = gone rest

    n = split(text, parts, /[^A-Za-z0-9_-]+/)
    for (i = 1; i <= n; i++) {
        if (parts[i] ~ /^I-[0-9]$/) { print parts[i] "\t" place; continue }
        m = split(parts[i], pieces, /-/)
        for (j = 1; j <= m; j++)
            if (pieces[j] ~ /^[DAEXRS][0-9][0-9]?$/ || pieces[j] ~ /^G[1-7]$/) print pieces[j] "\t" place
    }
}
AWK

for folder in src transports examples tests; do
    if [ -d "$folder" ]; then
        find "$folder" -name target -prune -o -type f -name '*.rs' -print
    fi
done >"$scratch/files"
if [ ! -s "$scratch/files" ]; then
    echo "check-ids: no Rust file under src, transports, examples, tests" >&2
    exit 2
fi

# Comments only. The `//` of "https://" starts none.
while IFS= read -r file; do
    awk -v file="$file" '
        {
            line = $0
            at = 0
            while ((found = index(substr(line, at + 1), "//")) > 0) {
                start = at + found
                if (start == 1 || substr(line, start - 1, 1) != ":") {
                    print file ":" FNR "\t" substr(line, start)
                    next
                }
                at = start + 1
            }
        }' "$file"
done <"$scratch/files" | awk -f "$scratch/ids.awk" | sort -u >"$scratch/cited"

for page in docs/specification/*.md; do
    awk -v page="$page" -F '|' '
        /^#/         { print page "\t" $0 }
        /^\|[^-:]/   { print page "\t" $2 }' "$page"
done | awk -f "$scratch/ids.awk" | cut -f 1 | sort -u >"$scratch/explained"
if [ ! -s "$scratch/explained" ]; then
    echo "check-ids: no id is explained under docs/specification" >&2
    exit 2
fi
for id in $allow; do echo "$id"; done >>"$scratch/explained"

awk -F '\t' '
    NR == FNR { known[$1] = 1; next }
    !($1 in known) { print $2 ": " $1 " is not explained under docs/specification"; missing = 1 }
    END { exit missing }' "$scratch/explained" "$scratch/cited" >&2 || exit 1

echo "check-ids: $(cut -f 1 "$scratch/cited" | sort -u | grep -c . || true) ids cited, all explained"
