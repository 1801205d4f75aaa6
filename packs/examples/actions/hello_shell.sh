#!/bin/sh
# Greets from the shell. Parameters: one KEY='VALUE' each on standard input (the format dotenv).
set -eu

# The last name='...' in the document; \'' after a closing quote continues the value with a quote.
name=World
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
        name=\'*\') name=${line#name=\'} name=${name%\'} ;;
    esac
done

# Put what JSON needs a backslash for behind one.
json_text() {
    rest=$1 text=
    while [ -n "$rest" ]; do
        character=${rest%"${rest#?}"} rest=${rest#?}
        case $character in
            \\ | \") text=$text\\$character ;;
            [[:cntrl:]]) text="$text " ;;
            *) text=$text$character ;;
        esac
    done
    printf '"%s"' "$text"
}

# In the document a quote is written '\''.
quote="'\\''"
plain=
while [ "$name" != "${name#*"$quote"}" ]; do
    plain="$plain${name%%"$quote"*}'" name=${name#*"$quote"}
done
name=$plain$name

printf '{"greeting": %s, "language": "shell", "version": %s}\n' \
    "$(json_text "Hello, $name!")" "$(json_text "${BASH_VERSION:-POSIX}")"
