# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_psmith_global_optspecs
    string join \n s a/arg-file= 0/null no-null d/delimiter= r/no-run-if-empty C/colsep= csv no-csv header= n/max-args= N/max-replace-args= X/context-replace m/xargs I/replace= link no-link shuf= no-shuf require-input no-require-input stdin= pipe no-pipe pipe-part no-pipe-part block= recend= recstart= remove-rec-sep no-remove-rec-sep L/max-lines= round-robin no-round-robin cat no-cat tty no-tty j/jobs= delay= rate= load= memfree= nice= mem= cpu-time= fsize= nofile= core= pids= cpus= contain= env= process-slot-var= env-clear no-env-clear workdir= shell= retries= retry-delay= retry-on= timeout= slow= flaky= halt= exit= term-seq= leak= group k/keep-order no-keep-order window= show= lb u/ungroup tag no-tag tagstring= results= joblog= events= events-output no-events-output report= trace= summary= progress= bar web= no-web rows= color= t/verbose no-verbose quiet no-quiet dry-run= no-dry-run resume= no-resume resume-failed no-resume-failed h help opts no-opts generate= V/version will-cite no-notice gnu plus noswap silent compress q/quote
end

function __fish_psmith_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_psmith_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_psmith_using_subcommand
    set -l cmd (__fish_psmith_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c psmith -n "__fish_psmith_needs_command" -s a -l arg-file -d 'Read inputs from FILE, one per line (`-` = stdin); several make a cross product' -r
complete -c psmith -n "__fish_psmith_needs_command" -s d -l delimiter -d 'Inputs end with CHARS (\\n \\t \\0 \\\\ \\xHH are understood)' -r
complete -c psmith -n "__fish_psmith_needs_command" -s C -l colsep -d 'Split each input into {1} {2} .. where RE matches' -r
complete -c psmith -n "__fish_psmith_needs_command" -l header -d 'The first input names the columns: {name}' -r
complete -c psmith -n "__fish_psmith_needs_command" -s n -l max-args -d 'Up to N inputs per job; {} alone becomes N arguments' -r
complete -c psmith -n "__fish_psmith_needs_command" -s N -l max-replace-args -d 'As -n, and a word holding {} is repeated per input; -N0: the input only counts' -r
complete -c psmith -n "__fish_psmith_needs_command" -s I -l replace -d 'STR instead of {}, which is then ordinary text' -r
complete -c psmith -n "__fish_psmith_needs_command" -l shuf -d 'Random order; all input is read first' -r
complete -c psmith -n "__fish_psmith_needs_command" -l stdin -d 'What jobs read on stdin: nothing (default), what psmith reads, or their input, which is then no argument' -r
complete -c psmith -n "__fish_psmith_needs_command" -l block -d 'Size of a block, less the part of a record [default: 1M]; with --pipe-part, -N makes N blocks for each slot' -r
complete -c psmith -n "__fish_psmith_needs_command" -l recend -d 'How a record ends [default: \\n, or nothing with --recstart]; \'\' cuts anywhere' -r
complete -c psmith -n "__fish_psmith_needs_command" -l recstart -d 'How a record begins' -r
complete -c psmith -n "__fish_psmith_needs_command" -s L -l max-lines -d 'With --pipe: records of N lines' -r
complete -c psmith -n "__fish_psmith_needs_command" -s j -s P -l jobs -d 'Slots: N, +N, -N, N% of the CPUs, 0 = as many as possible, or a file [default: 100%]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l delay -d 'At least D between two starts' -r
complete -c psmith -n "__fish_psmith_needs_command" -l rate -d 'At most N starts a second (/m: a minute, /h: an hour)' -r
complete -c psmith -n "__fish_psmith_needs_command" -l load -d 'Hold starts while the load is above N' -r
complete -c psmith -n "__fish_psmith_needs_command" -l memfree -d 'Hold starts while less memory is free; below half of it the youngest job is put back' -r
complete -c psmith -n "__fish_psmith_needs_command" -l nice -d 'Add N to the niceness of the jobs' -r
complete -c psmith -n "__fish_psmith_needs_command" -l mem -d 'Memory of a job with all its processes' -r
complete -c psmith -n "__fish_psmith_needs_command" -l cpu-time -d 'CPU time of each process of a job' -r
complete -c psmith -n "__fish_psmith_needs_command" -l fsize -d 'Size of any file that a job writes' -r
complete -c psmith -n "__fish_psmith_needs_command" -l nofile -d 'Open descriptors of each process of a job' -r
complete -c psmith -n "__fish_psmith_needs_command" -l core -d 'Size of core files [default: 0]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l pids -d 'Processes of a job (needs a control group)' -r
complete -c psmith -n "__fish_psmith_needs_command" -l cpus -d 'CPUs that a job may use, as 1.5 (needs a control group)' -r
complete -c psmith -n "__fish_psmith_needs_command" -l contain -d 'Demand containment by cgroup, keeper, sweep or group, or better' -r
complete -c psmith -n "__fish_psmith_needs_command" -l env -d 'Set a variable in the jobs\' environment; without a value pass ours on' -r
complete -c psmith -n "__fish_psmith_needs_command" -l process-slot-var -d 'Set this variable to the job\'s slot, from 0 (as xargs)' -r
complete -c psmith -n "__fish_psmith_needs_command" -l workdir -d 'Run jobs in DIR (replacement strings allowed)' -r
complete -c psmith -n "__fish_psmith_needs_command" -l shell -d 'The shell for -s [default: /bin/sh]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l retries -d 'Total tries of a job, the first one included; 0 = for ever [default: 1]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l retry-delay -d 'Pause before a retry; doubled each time up to MAX' -r
complete -c psmith -n "__fish_psmith_needs_command" -l retry-on -d 'Try again only after these: exit, exit=1+75, signal, timeout, oom, limit, spawn, leak' -r
complete -c psmith -n "__fish_psmith_needs_command" -l timeout -d 'End an attempt after D, or after P% of the median time of successes' -r
complete -c psmith -n "__fish_psmith_needs_command" -l slow -d 'Name jobs that run longer; nothing is killed [default: 60s, 0 = off]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l flaky -d 'What a success after a retry counts as [default: ok]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l halt -d 'Stop early: soon or now, then fail=, success= or done= with N or N%' -r
complete -c psmith -n "__fish_psmith_needs_command" -l exit -d 'What the exit code tells: count (default), class, first, any-zero' -r
complete -c psmith -n "__fish_psmith_needs_command" -l term-seq -d 'How an attempt is ended [default: TERM,2000,KILL,25]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l leak -d 'Processes that outlive their job: kill (default), fail, wait; allow: they end with psmith' -r
complete -c psmith -n "__fish_psmith_needs_command" -l window -d 'With -k: hold starts when N jobs wait for their turn [default: 256 or 16 x slots]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l show -d 'Whose output is passed on [default: all]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l tagstring -d 'Begin each line with T and a TAB (replacement strings allowed)' -r
complete -c psmith -n "__fish_psmith_needs_command" -l results -d 'Record outputs: FILE.jsonl, FILE.csv, a file per job (PATH holds a replacement string), or a directory' -r
complete -c psmith -n "__fish_psmith_needs_command" -l joblog -d 'A line for each job; +FILE appends' -r
complete -c psmith -n "__fish_psmith_needs_command" -l events -d 'JSON lines of all that happens, to a file or a descriptor; no job is started while 4M of them wait for their reader' -r
complete -c psmith -n "__fish_psmith_needs_command" -l report -d 'At the end, a page about the run for a browser: slots over time, durations, failures' -r
complete -c psmith -n "__fish_psmith_needs_command" -l trace -d 'Every attempt as a slice, a lane for each slot, for Perfetto or chrome://tracing' -r
complete -c psmith -n "__fish_psmith_needs_command" -l summary -d 'At the end, on stderr: auto (default), text, json, none' -r
complete -c psmith -n "__fish_psmith_needs_command" -l progress -d 'auto (default), board, plain, none' -r
complete -c psmith -n "__fish_psmith_needs_command" -l web -d 'A board for a browser: what runs, what failed, search, metrics; read-only [ADDR: 127.0.0.1, any port]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l rows -d 'Rows of the board [default: 8]' -r
complete -c psmith -n "__fish_psmith_needs_command" -l color -d 'auto (default), always, never' -r
complete -c psmith -n "__fish_psmith_needs_command" -l dry-run -d 'Print what would run, run nothing' -r
complete -c psmith -n "__fish_psmith_needs_command" -l resume -d 'With --joblog: skip every job that has a row, known by its command (with {%} in it also by its number)' -r
complete -c psmith -n "__fish_psmith_needs_command" -l generate -d 'Print the man page (man) or completions: complete-bash, -elvish, -fish, -powershell, -zsh' -r
complete -c psmith -n "__fish_psmith_needs_command" -s s -d 'Shell mode: one word, the script, is run by a shell; inputs are put in quoted'
complete -c psmith -n "__fish_psmith_needs_command" -s 0 -l null -d 'Inputs end with NUL instead of a line feed'
complete -c psmith -n "__fish_psmith_needs_command" -l no-null
complete -c psmith -n "__fish_psmith_needs_command" -s r -l no-run-if-empty -d 'Skip inputs that are empty'
complete -c psmith -n "__fish_psmith_needs_command" -l csv -d 'Inputs are CSV records (RFC 4180); separator `,` or --colsep'
complete -c psmith -n "__fish_psmith_needs_command" -l no-csv
complete -c psmith -n "__fish_psmith_needs_command" -s X -l context-replace -d 'As many inputs as fit; a word holding {} is repeated per input'
complete -c psmith -n "__fish_psmith_needs_command" -s m -l xargs -d 'As many inputs as fit; inputs are joined in a word holding {}'
complete -c psmith -n "__fish_psmith_needs_command" -l link -d 'Zip all sources; a shorter one begins again (:::+ stops at the shorter)'
complete -c psmith -n "__fish_psmith_needs_command" -l no-link
complete -c psmith -n "__fish_psmith_needs_command" -l no-shuf
complete -c psmith -n "__fish_psmith_needs_command" -l require-input -d 'No input at all is an error (exit 124)'
complete -c psmith -n "__fish_psmith_needs_command" -l no-require-input
complete -c psmith -n "__fish_psmith_needs_command" -l pipe -d 'Cut stdin (or -a FILE) into blocks of whole records; each job reads one on its stdin'
complete -c psmith -n "__fish_psmith_needs_command" -l no-pipe
complete -c psmith -n "__fish_psmith_needs_command" -l pipe-part -d 'As --pipe, from a regular file (-a FILE) by offsets: nothing is copied through psmith'
complete -c psmith -n "__fish_psmith_needs_command" -l no-pipe-part
complete -c psmith -n "__fish_psmith_needs_command" -l remove-rec-sep -d 'Take --recend and --recstart out of the blocks'
complete -c psmith -n "__fish_psmith_needs_command" -l no-remove-rec-sep
complete -c psmith -n "__fish_psmith_needs_command" -l round-robin -d 'As --pipe, with as many jobs as slots: each reads blocks until the end'
complete -c psmith -n "__fish_psmith_needs_command" -l no-round-robin
complete -c psmith -n "__fish_psmith_needs_command" -l cat -d 'As --pipe, but the block is a file, and {} is its name'
complete -c psmith -n "__fish_psmith_needs_command" -l no-cat
complete -c psmith -n "__fish_psmith_needs_command" -l tty -d 'One slot, and the job gets the terminal (for sudo, ssh, editors)'
complete -c psmith -n "__fish_psmith_needs_command" -l no-tty
complete -c psmith -n "__fish_psmith_needs_command" -l env-clear -d 'Give jobs an empty environment (but for --env and PSMITH_ ones)'
complete -c psmith -n "__fish_psmith_needs_command" -l no-env-clear
complete -c psmith -n "__fish_psmith_needs_command" -l group -d 'A job\'s output whole, when it ends (default)'
complete -c psmith -n "__fish_psmith_needs_command" -s k -l keep-order -d 'Output in the order of the input'
complete -c psmith -n "__fish_psmith_needs_command" -l no-keep-order
complete -c psmith -n "__fish_psmith_needs_command" -l lb -d 'Lines as they come'
complete -c psmith -n "__fish_psmith_needs_command" -s u -l ungroup -d 'Jobs write to stdout and stderr themselves'
complete -c psmith -n "__fish_psmith_needs_command" -l tag -d 'Begin each line with the job\'s inputs and a TAB'
complete -c psmith -n "__fish_psmith_needs_command" -l no-tag
complete -c psmith -n "__fish_psmith_needs_command" -l events-output -d 'With --events: the jobs\' output as well'
complete -c psmith -n "__fish_psmith_needs_command" -l no-events-output
complete -c psmith -n "__fish_psmith_needs_command" -l bar -d 'As --progress board'
complete -c psmith -n "__fish_psmith_needs_command" -l no-web
complete -c psmith -n "__fish_psmith_needs_command" -s t -s v -l verbose -d 'Tell each command on stderr when it starts'
complete -c psmith -n "__fish_psmith_needs_command" -l no-verbose
complete -c psmith -n "__fish_psmith_needs_command" -l quiet -d 'No messages but errors'
complete -c psmith -n "__fish_psmith_needs_command" -l no-quiet
complete -c psmith -n "__fish_psmith_needs_command" -l no-dry-run
complete -c psmith -n "__fish_psmith_needs_command" -l no-resume
complete -c psmith -n "__fish_psmith_needs_command" -l resume-failed -d 'With --joblog: skip jobs whose last row is a success'
complete -c psmith -n "__fish_psmith_needs_command" -l no-resume-failed
complete -c psmith -n "__fish_psmith_needs_command" -s h -d 'Short help'
complete -c psmith -n "__fish_psmith_needs_command" -l help -d 'This help, with replacement strings and more'
complete -c psmith -n "__fish_psmith_needs_command" -l opts -d 'Take the options in PSMITH_OPTS first, as if typed before all others (default); --no-opts leaves them out'
complete -c psmith -n "__fish_psmith_needs_command" -l no-opts
complete -c psmith -n "__fish_psmith_needs_command" -s V -l version -d 'The version'
complete -c psmith -n "__fish_psmith_needs_command" -l will-cite
complete -c psmith -n "__fish_psmith_needs_command" -l no-notice
complete -c psmith -n "__fish_psmith_needs_command" -l gnu
complete -c psmith -n "__fish_psmith_needs_command" -l plus
complete -c psmith -n "__fish_psmith_needs_command" -l noswap
complete -c psmith -n "__fish_psmith_needs_command" -l silent
complete -c psmith -n "__fish_psmith_needs_command" -l compress
complete -c psmith -n "__fish_psmith_needs_command" -s q -l quote
complete -c psmith -n "__fish_psmith_needs_command" -a "run" -d 'Run a command over many inputs (the default)'
complete -c psmith -n "__fish_psmith_needs_command" -a "doctor" -d 'Tell what this machine offers: containment, limits, descriptors, each with its remedy'
complete -c psmith -n "__fish_psmith_needs_command" -a "help" -d 'Print the long help'
complete -c psmith -n "__fish_psmith_using_subcommand doctor" -l json -d 'As one JSON object'
