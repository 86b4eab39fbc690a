# Makes the tables of docs/peers.md of what compat.sh has printed: of `theirs`, which is the
# real veritysetup, and of `ours`.
# Fails where a check has failed, or theirs has not passed all.
BEGIN { FS = "\t" }

$2 == "failed" || $4 == "broken" || ($1 == "theirs" && $2 != "passed") {
    print "not as it should be: " $0 >"/dev/stderr"
    bad = 1
}

$1 == "theirs" {
    if (!($3 in all))
        names[++checks] = $3
    all[$3]++
}

$1 == "ours" && $2 == "passed" { passed[$3]++ }

$1 == "ours" && $2 == "refused" {
    refused[$3]++
    if (!why[$3, $4]++)
        reasons[$3] = reasons[$3] "\t" $4
}

$1 == "ours" && $2 == "called" && $4 != "refused" {
    calls[++answers] = "| `" $3 "` | `" $4 "` | " $5 " | " $6 " |"
}

END {
    if (bad || !checks || !answers)
        exit 1
    print "| check | all | passed | refused |"
    print "|---|---|---|---|"
    for (i = 1; i <= checks; i++) {
        name = names[i]
        text = ""
        count = split(reasons[name], reason, "\t")
        for (j = 2; j <= count; j++)
            text = text (text == "" ? "" : ", ") why[name, reason[j]] " " reason[j]
        left = all[name] - passed[name] - refused[name]
        if (left)
            text = text (text == "" ? "" : ", ") left " left out"
        shown = name ~ / / ? name : "`" name "`"
        print "| " shown " | " all[name] " | " passed[name] + 0 " | " (text == "" ? "-" : text) " |"
    }
    print "| command | answered by | exit code | times |"
    print "|---|---|---|---|"
    for (i = 1; i <= answers; i++)
        print calls[i]
}
