# Read parameters in a POSIX shell: source this file, then call `read_parameters NAME...`.
#
# The parameters arrive on standard input, one KEY='VALUE' each; a quote inside a value is written '\'' and a value may
# contain line breaks. Only the variables that are named are set: nothing in the document is ever evaluated.

read_parameters() {
    parameter_key=
    while IFS= read -r parameter_rest || [ -n "$parameter_rest" ]; do
        if [ -z "$parameter_key" ]; then
            case $parameter_rest in
                [!=]*=\'*) ;;
                *) continue ;;
            esac
            parameter_key=${parameter_rest%%=*}
            parameter_rest=${parameter_rest#*=\'}
            parameter_value=
        else
            parameter_value="$parameter_value
"
        fi
        while :; do
            case $parameter_rest in
                *\'*) ;;
                *) parameter_value=$parameter_value$parameter_rest; break ;;
            esac
            parameter_value=$parameter_value${parameter_rest%%\'*}
            parameter_rest=${parameter_rest#*\'}
            case $parameter_rest in
                "\\''"*)
                    parameter_value="$parameter_value'"
                    parameter_rest=${parameter_rest#"\\''"}
                    ;;
                *)
                    take_parameter "$@"
                    parameter_key=
                    break
                    ;;
            esac
        done
    done
}

take_parameter() {
    for parameter_name in "$@"; do
        if [ "$parameter_name" = "$parameter_key" ]; then
            eval "$parameter_name=\$parameter_value"
        fi
    done
}

complain() {
    printf '%s\n' "$*" >&2
    exit 2
}
