# Writes each section of a pollex sheet (docs/design.md) as a file under the current folder.

function refuse(why) {
    print "pollex: sheet, line " NR ": " why > "/dev/stderr"
    refused = 1
    exit 2
}

NR == 1 {
    if ($0 != "pollex-sheet 1") refuse("the first line is not 'pollex-sheet 1'")
    next
}

/^=== / {
    name = substr($0, 5)
    if (name !~ /^[A-Za-z0-9._@-]+(\/[A-Za-z0-9._@-]+)*$/ || ("/" name "/") ~ /\/\.\.?\//)
        refuse("'" name "' is not a section name")
    if (file != "") close(file)
    file = "./" name
    folder = file
    sub(/\/[^\/]*$/, "", folder)
    # The name holds no character that a shell would read.
    if (!(folder in made) && system("mkdir -p " folder) != 0) refuse("section " name ": cannot make its folder")
    made[folder] = 1
    if (system("test ! -d " file) != 0) refuse("section " name ": another section is a folder of that name")
    printf "" > file
    next
}

file != "" { print > file; next }

$0 != "" { refuse("text before the first section") }

END {
    if (NR == 0 && !refused) refuse("it is empty")
}
