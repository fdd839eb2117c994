//! The known uses of programs for parallel work, scenario by scenario. A table and nothing else.

/// Scenarios that psmith passes; what a row says holds for functions in processes of their own.
pub(crate) const SCENARIOS: &[(&str, &str, &str)] = &[
    (
        "O-1",
        "map-in-order",
        "a map of four items with a process each: values in order, four processes, none the caller's",
    ),
    (
        "O-2",
        "crash-is-no-answer",
        "bytes come back as they are; a crash is a failure and never an empty answer",
    ),
    (
        "O-3",
        "effects-are-there",
        "each returns when all effects are there, at once if there are none; runs do not disturb each other",
    ),
    (
        "O-4",
        "one-hangs-of-many",
        "100 items on 8 workers, one hangs: it times out, 99 answer, never more than 8 at once",
    ),
    (
        "O-5",
        "test-runner",
        "a runner of test commands: summary in order, output of failures, status 0 if all passed",
    ),
    (
        "O-6",
        "worker-count",
        "the number of workers: detected, by environment, given, no more than items, by quota",
    ),
    (
        "O-7",
        "state-of-worker",
        "what a job changes: not in the caller; gone with a process a job, kept in a worker that stays",
    ),
    ("O-8", "uneven-jobs-overlap", "jobs overlap, and uneven ones keep all workers busy"),
    (
        "O-9",
        "values-survive",
        "ranges, absent, nested and large values come back as they are; 10,000 items equal a serial map",
    ),
    (
        "O-10",
        "many-workers-few-left",
        "200 workers, then no process and no descriptor more than before; few in use by 20; flat over calls",
    ),
    ("O-11", "errors-reach-caller", "errors and panics reach the caller with text and place"),
    (
        "O-12",
        "eof-error-is-no-death",
        "a job's own error about an end of file is not taken for a dead worker",
    ),
    (
        "O-13",
        "killed-worker-names-item",
        "a worker killed before, in and after its job, or that exits: told of its item; the pool goes on",
    ),
    (
        "O-14",
        "running-items-finish",
        "after a failure or a break exactly the running items ran, in map and in each",
    ),
    ("O-15", "failing-hook", "a hook that fails stops further starts, and its error reaches the caller"),
    (
        "O-16",
        "one-failure-reported",
        "a failure with others in flight: each is seen once, the first is reported, no break is replaced",
    ),
    ("O-17", "hooks-once", "hooks come once for each item, never two at once, inline as well"),
    (
        "O-18",
        "order-is-submission",
        "in order means submission order, whoever ends first and whatever the values are",
    ),
    ("O-19", "slot-numbers", "slots are told to jobs, stay below the number of workers, and are 0 inline"),
    (
        "O-20",
        "break-and-kill",
        "break and kill end a run with their value; after a kill the others are gone at once",
    ),
    (
        "O-21",
        "any-and-all",
        "any and all: truth tables, nothing to ask, the first decision; usable afterwards",
    ),
    ("O-22", "each-without-values", "each sends no value back, and its hook sees every outcome"),
    (
        "O-23",
        "progress-variants",
        "progress with a title, with options, with a hook, and with an unknown total",
    ),
    (
        "O-24",
        "sources-that-block",
        "closures and channels as sources: in order, not asked after their end, never a deadlock",
    ),
    (
        "O-25",
        "authenticated-codec",
        "an authenticated codec: whole values, refused forgeries, wrong secrets and cut frames",
    ),
    (
        "O-26",
        "interrupt-guard",
        "the interrupt guard: children gone, the host's own handlers kept, all as before afterwards",
    ),
    (
        "O-27",
        "nothing-lives-on",
        "iterator dropped, caller unwinding, host killed or interrupted alone: nothing lives on",
    ),
    ("O-28", "short-runs-end", "10,000 short runs in each isolation: none hangs after its last item"),
    (
        "O-29",
        "children-of-the-host",
        "a host with children of its own and two pools can still wait for each child",
    ),
    (
        "O-30",
        "file-before-value",
        "a job's file is there when shutdown returns; its value comes by its handle, from another process",
    ),
    (
        "O-31",
        "exit-fails-its-handle",
        "a job that exits fails its handle and no other; a value can be asked for twice; ready after join",
    ),
    ("O-32", "large-answers-whole", "100 jobs exhaust nothing; answers of 64 kB and of 16 MiB come whole"),
    (
        "O-33",
        "refused-while-joining",
        "refused during a join, taken after; shutdown at once resolves every handle",
    ),
    (
        "O-34",
        "strategy-limits-starts",
        "never more at once than the strategy lets start; a limit by cores is above 0",
    ),
    (
        "O-35",
        "one-answer-a-job",
        "one answer a job: a second or late one is a protocol error, a death after it changes nothing",
    ),
    (
        "O-36",
        "proxy-is-typed",
        "a proxy has its type's methods only; a call is a job, and the caller's value stays",
    ),
    (
        "O-37",
        "process-manager",
        "a process manager: none at the start, handlers before the count drops, a teardown that returns",
    ),
    (
        "O-38",
        "supervisor-keeps-alive",
        "a supervisor: so many alive, the killed replaced, calls by strangers refused, a crash loop slowed down",
    ),
    (
        "O-39",
        "lock-by-file",
        "a lock by file name: one holder, freed by release, error and death; 100 processes never meet",
    ),
    (
        "O-40",
        "rows-of-mixed-speed",
        "rows of mixed speed: the pinned one at the bottom, completed ones above",
    ),
    (
        "O-41",
        "bars-beside-files",
        "several bars while the program's output goes to files: bars and files whole",
    ),
    (
        "O-42",
        "workers-drain-a-queue",
        "three workers drain one queue: their rows, the progress of all; a killed one ends red with its cause",
    ),
    (
        "O-43",
        "board-pace-and-texts",
        "bold at a change, dim later, paints with a pause between them, none while idle; texts by table",
    ),
    (
        "O-44",
        "board-stays-whole",
        "long texts, many rows, resizing, senseless progress, a flood, panic, TERM: the board is whole",
    ),
    (
        "O-45",
        "lines-without-terminal",
        "no terminal: a line for each change, no escape codes; counts at each multiple and at the end",
    ),
    (
        "O-46",
        "alternating-producer",
        "a producer alternates two functions: 4 at once, 20 processes, names, every outcome consumed here",
    ),
    (
        "O-47",
        "producer-that-blocks",
        "a producer that blocks or ends: what runs is delivered; a log at two levels",
    ),
];
