//! Combinations of promises that comparable libraries do not make. A table and nothing else.

/// Promises in which psmith goes further.
pub(crate) const FIRSTS: &[(&str, &str, &str)] = &[
    (
        "N-1",
        "one-typed-outcome",
        "exactly one typed outcome for every job, with usage, end of stderr and list of attempts",
    ),
    (
        "N-2",
        "any-worker-may-die",
        "any worker may die at any moment: it is replaced, and queued jobs are untouched",
    ),
    (
        "N-3",
        "limits-by-job",
        "limits a job: memory, CPU time, descriptors, file size, processes; each its own outcome",
    ),
    (
        "N-4",
        "budgets-of-failure",
        "errors and crashes on budgets of their own; quarantine, circuit breaker, a retry with more memory",
    ),
    ("N-5", "deadline-bounds-tree", "a deadline bounds the whole tree, and what was said until then is kept"),
    (
        "N-6",
        "whole-tree-dies",
        "the whole tree dies despite sessions and double forks, and what leaked is named",
    ),
    ("N-7", "orphans-never", "no orphans by default, without a race"),
    ("N-8", "messages-both-ways", "typed messages both ways with a running job, with flow control"),
    ("N-9", "endless-in-order", "an endless source in order, with exact bounds and flat memory"),
    ("N-10", "batches-item-by-item", "batches on the wire that end item by item"),
    ("N-11", "live-board", "a live board in the library: terminal, JSON, web; the stack of a stuck worker"),
    ("N-12", "job-control", "job control of pools: interrupts, Ctrl-Z with clocks, pause, drain, resize"),
    ("N-13", "one-kind-of-job", "functions and commands are one kind of job"),
    ("N-14", "admission-by-memory", "admission by memory, learnt from earlier jobs"),
    (
        "N-15",
        "own-executable-again",
        "its own executable entered again without traps; one budget over nested pools",
    ),
];
