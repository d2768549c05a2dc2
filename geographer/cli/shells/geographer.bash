# Completion of geographer in bash. geographer answers with three texts for each proposal, each ended by a zero byte.
%(complete_func)s() {
    local kind value text program="${1/#\~\//$HOME/}" last=""
    COMPREPLY=()
    while IFS= read -r -d '' kind && IFS= read -r -d '' value && IFS= read -r -d '' text; do
        case $kind in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            *) COMPREPLY+=("$value"); last=$kind ;;
        esac
    done < <(%(complete_var)s=bash_complete "$program" "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && $last == part ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
