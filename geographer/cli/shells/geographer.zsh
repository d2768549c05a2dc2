#compdef %(prog_name)s
# Completion of geographer in zsh. geographer answers with three texts for each proposal, each ended by a zero byte.
%(complete_func)s() {
    local kind value text
    local -a answer plain described shown unfinished
    answer=("${(@0)$(%(complete_var)s=zsh_complete "${(Q)words[1]}" "${(@Q)words[2,CURRENT-1]}" "${compstate[quote]}$PREFIX" 2>/dev/null)}")
    for kind value text in "${(@)answer}"; do
        case $kind in
            dir) compset -P '--[^=]##='; _files -/ ;;
            file) compset -P '--[^=]##='; _files ;;
            part) unfinished+=("$value") ;;
            plain) if [[ -n $text ]]; then described+=("$value"); shown+=("${value}  -- $text"); else plain+=("$value"); fi ;;
        esac
    done
    (( $#described )) && compadd -V described -l -d shown -a -- described
    (( $#plain )) && compadd -V plain -a -- plain
    (( $#unfinished )) && compadd -V unfinished -S '' -a -- unfinished
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
