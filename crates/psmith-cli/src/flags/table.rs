//! The table of all flags: the parser, the help, the man page, completions and "did you mean" are made from it.

/// The heading of the help under which a flag is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heading {
    Input,
    Rate,
    Limits,
    Failure,
    Output,
    Resume,
    Other,
}

impl Heading {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Heading::Input => "Input",
            Heading::Rate => "Pace and width",
            Heading::Limits => "Limits and surroundings",
            Heading::Failure => "Failure",
            Heading::Output => "Output",
            Heading::Resume => "Resume",
            Heading::Other => "Other",
        }
    }
}

/// The value that follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// No value. The flag has a `--no-` form.
    Nothing,
    /// No value, and no `--no-` form.
    Once,
    /// A value; the last one wins.
    Value(&'static str),
    /// A value; several count.
    Values(&'static str),
    /// A value after `=`, or none.
    Optional(&'static str),
}

/// A flag.
pub(crate) struct Flag {
    /// The id, and the long name, unless that is empty.
    pub(crate) id: &'static str,
    pub(crate) long: &'static str,
    pub(crate) short: &'static [char],
    pub(crate) aliases: &'static [&'static str],
    pub(crate) takes: Takes,
    pub(crate) heading: Heading,
    pub(crate) help: &'static str,
    /// The further text for `--help` and the man page; may be empty.
    pub(crate) more: &'static str,
}

macro_rules! flags {
    ($($heading:ident: $long:literal $([$($short:literal)+])? $(id $id:literal)? $(= $($alias:literal)+)?, $takes:expr, $help:literal $(, $more:literal)?;)*) => {
        &[$(Flag {
            id: flags!(@id $long $($id)?),
            long: $long,
            short: &[$($($short),+)?],
            aliases: &[$($($alias),+)?],
            takes: $takes,
            heading: Heading::$heading,
            help: $help,
            more: flags!(@more $($more)?),
        }),*]
    };
    (@id $long:literal) => { $long };
    (@id $long:literal $id:literal) => { $id };
    (@more) => { "" };
    (@more $more:literal) => { $more };
}

use Takes::{Nothing, Once, Optional, Value, Values};

/// The flags of this version.
pub(crate) const FLAGS: &[Flag] = flags![
    Input: "" ['s'] id "s", Once, "Shell mode: one word, the script, is run by a shell; inputs are put in quoted", "Without a script, each input is a script.";
    Input: "arg-file" ['a'], Values("FILE"), "Read inputs from FILE, one per line (`-` = stdin); several make a cross product";
    Input: "null" ['0'], Nothing, "Inputs end with NUL instead of a line feed";
    Input: "delimiter" ['d'], Value("CHARS"), "Inputs end with CHARS (\\n \\t \\0 \\\\ \\xHH are understood)";
    Input: "no-run-if-empty" ['r'], Once, "Skip inputs that are empty";
    Input: "colsep" ['C'], Value("RE"), "Split each input into {1} {2} .. where RE matches", "A missing column is empty. A command without a replacement string gets one argument per column.";
    Input: "csv", Nothing, "Inputs are CSV records (RFC 4180); separator `,` or --colsep";
    Input: "header", Value(":"), "The first input names the columns: {name}";
    Input: "max-args" ['n'], Value("N"), "Up to N inputs per job; {} alone becomes N arguments";
    Input: "max-replace-args" ['N'], Value("N"), "As -n, and a word holding {} is repeated per input; -N0: the input only counts";
    Input: "context-replace" ['X'], Once, "As many inputs as fit; a word holding {} is repeated per input";
    Input: "xargs" ['m'], Once, "As many inputs as fit; inputs are joined in a word holding {}";
    Input: "replace" ['I'], Value("STR"), "STR instead of {}, which is then ordinary text";
    Input: "link" = "xapply", Nothing, "Zip all sources; a shorter one begins again (:::+ stops at the shorter)";
    Input: "shuf", Optional("SEED"), "Random order; all input is read first";
    Input: "require-input", Nothing, "No input at all is an error (exit 124)";
    Input: "stdin", Value("none|inherit|item"), "What jobs read on stdin: nothing (default), what psmith reads, or their input, which is then no argument";
    Input: "pipe" = "spreadstdin", Nothing, "Cut stdin (or -a FILE) into blocks of whole records; each job reads one on its stdin", "Memory is a block for each slot. A job that is tried again reads its block again. -N N: so many records a block; -L N: records of N lines; --header : puts the first line before each block.";
    Input: "pipe-part" = "pipepart", Nothing, "As --pipe, from a regular file (-a FILE) by offsets: nothing is copied through psmith";
    Input: "block" = "block-size", Value("SIZE"), "Size of a block, less the part of a record [default: 1M]; with --pipe-part, -N makes N blocks for each slot";
    Input: "recend", Value("STR"), "How a record ends [default: \\n, or nothing with --recstart]; '' cuts anywhere";
    Input: "recstart", Value("STR"), "How a record begins";
    Input: "remove-rec-sep" = "rrs" "removerecsep", Nothing, "Take --recend and --recstart out of the blocks";
    Input: "max-lines" ['L'], Value("N"), "With --pipe: records of N lines";
    Input: "round-robin" = "roundrobin" "round", Nothing, "As --pipe, with as many jobs as slots: each reads blocks until the end", "-k gives the blocks strictly in turn.";
    Input: "cat", Nothing, "As --pipe, but the block is a file, and {} is its name";
    Input: "tty", Nothing, "One slot, and the job gets the terminal (for sudo, ssh, editors)";

    Rate: "jobs" ['j' 'P'] = "max-procs", Value("N"), "Slots: N, +N, -N, N% of the CPUs, 0 = as many as possible, or a file [default: 100%]", "A file is read again at each end of a job. CPUs are those of the affinity mask and the control group's quota, not the host's count.";
    Rate: "delay", Value("D"), "At least D between two starts";
    Rate: "rate", Value("N/s"), "At most N starts a second (/m: a minute, /h: an hour)";
    Rate: "load", Value("N|N%"), "Hold starts while the load is above N";
    Rate: "memfree", Value("SIZE"), "Hold starts while less memory is free; below half of it the youngest job is put back";
    Rate: "nice", Value("N"), "Add N to the niceness of the jobs";

    Limits: "mem", Value("SIZE"), "Memory of a job with all its processes", "Held by a control group; without one that psmith may use: address space of each process, and the summary says so. At least 4M.";
    Limits: "cpu-time", Value("D"), "CPU time of each process of a job";
    Limits: "fsize", Value("SIZE"), "Size of any file that a job writes";
    Limits: "nofile", Value("N"), "Open descriptors of each process of a job";
    Limits: "core", Value("SIZE"), "Size of core files [default: 0]";
    Limits: "pids", Value("N"), "Processes of a job (needs a control group)";
    Limits: "cpus", Value("X"), "CPUs that a job may use, as 1.5 (needs a control group)";
    Limits: "contain", Value("LEVEL"), "Demand containment by cgroup, keeper, sweep or group, or better";
    Limits: "env", Values("NAME[=VALUE]"), "Set a variable in the jobs' environment; without a value pass ours on";
    Limits: "process-slot-var", Value("NAME"), "Set this variable to the job's slot, from 0 (as xargs)";
    Limits: "env-clear", Nothing, "Give jobs an empty environment (but for --env and PSMITH_ ones)";
    Limits: "workdir" = "wd", Value("DIR"), "Run jobs in DIR (replacement strings allowed)";
    Limits: "shell", Value("SHELL"), "The shell for -s [default: /bin/sh]";

    Failure: "retries", Value("N"), "Total tries of a job, the first one included; 0 = for ever [default: 1]";
    Failure: "retry-delay", Value("D[..MAX]"), "Pause before a retry; doubled each time up to MAX";
    Failure: "retry-on", Value("LIST"), "Try again only after these: exit, exit=1+75, signal, timeout, oom, limit, spawn, leak";
    Failure: "timeout", Value("D|P%"), "End an attempt after D, or after P% of the median time of successes";
    Failure: "slow", Value("D"), "Name jobs that run longer; nothing is killed [default: 60s, 0 = off]";
    Failure: "flaky", Value("ok|fail"), "What a success after a retry counts as [default: ok]";
    Failure: "halt" = "halt-on-error", Value("WHEN,COND"), "Stop early: soon or now, then fail=, success= or done= with N or N%";
    Failure: "exit", Value("SCHEME"), "What the exit code tells: count (default), class, first, any-zero";
    Failure: "term-seq" = "termseq", Value("SEQ"), "How an attempt is ended [default: TERM,2000,KILL,25]";
    Failure: "leak", Value("M"), "Processes that outlive their job: kill (default), fail, wait; allow: they end with psmith";

    Output: "group", Once, "A job's output whole, when it ends (default)";
    Output: "keep-order" ['k'] = "keeporder", Nothing, "Output in the order of the input";
    Output: "window", Value("N"), "With -k: hold starts when N jobs wait for their turn [default: 256 or 16 x slots]";
    Output: "show", Value("all|fail|none"), "Whose output is passed on [default: all]";
    Output: "lb" = "line-buffer" "linebuffer", Once, "Lines as they come";
    Output: "ungroup" ['u'], Once, "Jobs write to stdout and stderr themselves";
    Output: "tag", Nothing, "Begin each line with the job's inputs and a TAB";
    Output: "tagstring" = "tag-string", Value("T"), "Begin each line with T and a TAB (replacement strings allowed)";
    Output: "results" = "res", Value("PATH"), "Record outputs: FILE.jsonl, FILE.csv, a file per job (PATH holds a replacement string), or a directory";
    Output: "joblog" = "jl", Value("FILE"), "A line for each job; +FILE appends";
    Output: "events", Value("FILE|FD"), "JSON lines of all that happens, to a file or a descriptor; no job is started while 4M of them wait for their reader";
    Output: "events-output", Nothing, "With --events: the jobs' output as well";
    Output: "report", Value("FILE"), "At the end, a page about the run for a browser: slots over time, durations, failures", "One HTML file that needs nothing but itself. It is written when the run ends, also by Ctrl-C, and replaces FILE as a whole.";
    Output: "trace", Value("FILE"), "Every attempt as a slice, a lane for each slot, for Perfetto or chrome://tracing", "Written as the run goes on. What a slow disk cannot take is dropped and counted.";
    Output: "summary", Value("WHEN"), "At the end, on stderr: auto (default), text, json, none";
    Output: "progress", Value("HOW"), "auto (default), board, plain, none";
    Output: "bar" = "eta", Once, "As --progress board";
    Output: "web", Optional("ADDR"), "A board for a browser: what runs, what failed, search, metrics; read-only [ADDR: 127.0.0.1, any port]", "ADDR is a port, an address, or both. The line on stderr has the token that opens it; /metrics takes it as a bearer token. The last 100,000 ended jobs can be searched. It ends with the run; --report stays.";
    Output: "rows", Value("N"), "Rows of the board [default: 8]";
    Output: "color", Value("WHEN"), "auto (default), always, never";
    Output: "verbose" ['t' 'v'], Nothing, "Tell each command on stderr when it starts";
    Output: "quiet", Nothing, "No messages but errors";
    Output: "dry-run" = "dryrun", Optional("json"), "Print what would run, run nothing";

    Resume: "resume", Optional("RUN"), "With --joblog: skip every job that has a row, known by its command (with {%} in it also by its number)";
    Resume: "resume-failed", Nothing, "With --joblog: skip jobs whose last row is a success";

    Other: "h" ['h'] id "h", Once, "Short help";
    Other: "help", Once, "This help, with replacement strings and more";
    Other: "opts", Nothing, "Take the options in PSMITH_OPTS first, as if typed before all others (default); --no-opts leaves them out";
    Other: "generate", Value("WHAT"), "Print the man page (man) or completions: complete-bash, -elvish, -fish, -powershell, -zsh";
    Other: "version" ['V'], Once, "The version";
];

/// Words that will be commands of psmith. Every other word is the program of that name.
pub(crate) const RESERVED_COMMANDS: &[&str] = &["queue", "work"];
