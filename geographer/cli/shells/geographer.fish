# Completion of geographer in fish. geographer answers with three texts for each proposal, each ended by a zero byte.
function %(complete_func)s
    set -l line (commandline -cp | string collect)
    set -l answer (%(complete_var)s=fish_complete %(prog_name)s "$line" 2>/dev/null | string split0)
    set -l values
    for index in (seq 1 3 (count $answer))
        set -l value $answer[(math $index + 1)]
        set -l text $answer[(math $index + 2)]
        switch $answer[$index]
            case dir
                set -a values (__fish_complete_directories $value | string replace -r '^' -- $text)
            case file
                set -a values (__fish_complete_path $value | string replace -r '^' -- $text)
            case plain part
                set -a values (printf "%%s\t%%s" $value $text | string collect --no-trim-newlines)
        end
    end
    printf '%%s\0' $values | string split0
end
complete --no-files --keep-order --command %(prog_name)s --arguments '(%(complete_func)s)'
