//! The rows that tests must name: promises, faults, security rows, and of the library the scenarios, features and
//! firsts. A table and nothing else.

mod features;
mod firsts;
mod scenarios;

/// The beginnings of the rows' codes.
pub(crate) const PREFIXES: [&str; 6] = ["P-", "F-", "SEC-", "O-", "U-", "N-"];

/// The promises of psmith.
pub(crate) const PROMISES: &[(&str, &str)] = &[
    ("P-1", "every accepted job ends in exactly one outcome, with one cause of a closed set"),
    ("P-2", "a death touches only the job that was running there"),
    ("P-3", "an attempt ends when its process ends, whoever still holds its pipes"),
    ("P-4", "no descendant outlives its attempt, or a killed host by more than a second"),
    ("P-5", "an accepted job and a recorded outcome survive power loss"),
    ("P-6", "SIGKILL of host, warden, worker or two of them loses, doubles and charges nothing"),
    ("P-7", "memory of host and warden is bounded by named limits"),
    ("P-8", "an OOM kill is told with the kernel's evidence; timeouts by the monotonic clock"),
    ("P-9", "an attempt that psmith cut short spends no retry"),
    ("P-10", "nothing of the host reaches a child"),
    ("P-11", "no job byte moves before both ends agreed on who they are"),
];

/// The faults that can occur. A row with letters counts when each of its letters is named.
pub(crate) const FAULTS: &[(&str, &str)] = &[
    ("F-1", "SIGKILL from outside, mid-job"),
    ("F-2", "SIGSEGV, SIGBUS, SIGILL, SIGFPE"),
    ("F-3", "abort, panic=abort, panic while panicking"),
    ("F-4", "exit(0) without a result"),
    ("F-5", "dies while writing its result"),
    ("F-6", "dies after the whole result, before exit"),
    ("F-7", "dies idle, or between receipt and start report"),
    ("F-8", "hangs; cannot be killed"),
    ("F-9", "stopped from outside"),
    ("F-10", "closes its channel and lives on"),
    ("F-11", "a descendant keeps stdout or stderr open"),
    ("F-12", "double fork, setsid, streams redirected"),
    ("F-13", "fork bomb"),
    ("F-14", "garbage on the channel"),
    ("F-15", "job writes to the channel's number"),
    ("F-16", "1 GiB on stdout"),
    ("F-17", "endless line, invalid UTF-8, NUL, escape sequences"),
    ("F-18", "killed by the kernel for memory"),
    ("F-19", "allocation fails"),
    ("F-20", "memory grows from job to job"),
    ("F-21", "disk filled in tmp or the working directory"),
    ("F-22", "argument cannot be encoded"),
    ("F-23", "argument cannot be decoded"),
    ("F-24", "result cannot be encoded"),
    ("F-25", "decoding the result panics in the host"),
    ("F-26", "2 GiB argument or result"),
    ("F-27", "panic in the function or in a Drop"),
    ("F-28", "job forks and both return; threads outlive it"),
    ("F-29", "job changes the state of its process"),
    ("F-30", "job reads stdin or grabs the terminal"),
    ("F-31", "a step of the start fails"),
    ("F-32", "producer panics or errs"),
    ("F-33", "consumer panics, errs or exits"),
    ("F-34a", "consumer slow"),
    ("F-34b", "socket between host and warden fills"),
    ("F-35", "pool dropped with work pending"),
    ("F-36", "shutdown races"),
    ("F-37a", "host SIGKILLed"),
    ("F-37b", "warden SIGKILLed"),
    ("F-37c", "warden stopped or wedged"),
    ("F-37d", "host and warden SIGKILLed together"),
    ("F-37e", "lifeline duplicated into a child"),
    ("F-37f", "host stopped, later continued"),
    ("F-38", "two hosts on one store"),
    ("F-39", "out of descriptors"),
    ("F-40", "fork fails"),
    ("F-41", "interrupted and short calls"),
    ("F-42", "the reader of a pipe is gone"),
    ("F-43", "a process id is used again"),
    ("F-44", "host reaps our child"),
    ("F-45", "clock jumps, suspend"),
    ("F-46", "Ctrl-C once, twice, three times"),
    ("F-47", "SIGTERM; SIGHUP with the terminal gone"),
    ("F-48", "Ctrl-Z and back"),
    ("F-49", "board resized, dumb, dead or stalled"),
    ("F-50a", "fork in a host with many threads"),
    ("F-50b", "a start that hangs"),
    ("F-51", "program file replaced while running"),
    ("F-52", "disk full, read-only, broken"),
    ("F-53", "power loss after ack"),
    ("F-54", "torn or corrupt store"),
    ("F-55", "store descriptor inherited"),
    ("F-56", "broker down, flapping, slow"),
    ("F-57", "lease lapses while the job runs"),
    ("F-58a", "poison job that kills workers"),
    ("F-58b", "poison job that kills warden or host"),
    ("F-59", "broken slot drains the queue"),
    ("F-60", "retry storm"),
    ("F-61", "duplicate submission"),
    ("F-62", "soft limit of descriptors below the hard one; a warden that fails by itself"),
    ("F-63", "more reused workers than descriptors allow"),
    ("F-64", "job too large for a message to the warden"),
    ("F-65", "error or panic whose text is megabytes"),
    ("F-67", "a facility that a filter or a missing capability refuses"),
    ("F-68", "no /proc, no /dev/null, closed streams, an odd directory"),
    ("F-69", "the host forks, or changes user, root or directory after a run has begun"),
    ("F-70", "foreign zombies as process 1; a terminal left raw by a kill -9"),
];

/// The attacks to resist.
pub(crate) const SECURITY: &[(&str, &str)] = &[
    ("SEC-shell", "shell jobs with foreign input"),
    ("SEC-names", "job lists and output names: options, traversal, links"),
    ("SEC-web", "web board on loopback: rebinding, forged requests"),
    ("SEC-web-users", "web board and other local users"),
    ("SEC-web-output", "hostile output and names on boards"),
    ("SEC-web-load", "slow clients, big headers, many connections"),
    ("SEC-broker-link", "link to the broker"),
    ("SEC-broker-content", "forged jobs on the broker"),
    ("SEC-worker", "host against a hostile worker"),
    ("SEC-warden", "another process poses as host or warden"),
    ("SEC-sandbox", "files and network of the user"),
    ("SEC-temp", "temp files, sockets, store: links and readers"),
    ("SEC-privileges", "root runs user jobs; set-uid psmith"),
    ("SEC-environment", "LD_PRELOAD, PATH=., IFS"),
    ("SEC-logs", "secrets in logs, board and history"),
    ("SEC-supply", "a dependency turns"),
];

/// A row.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) code: &'static str,
    /// A name that tests may use instead of the code; rows that other documents name by their code have none.
    pub(crate) slug: Option<&'static str>,
    pub(crate) title: &'static str,
}

/// Returns every row, in the order of the tables.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    let by_code = PROMISES.iter().chain(FAULTS).chain(SECURITY);
    let by_slug = scenarios::SCENARIOS.iter().chain(features::FEATURES).chain(firsts::FIRSTS);
    by_code
        .map(|(code, title)| Row { code, slug: None, title })
        .chain(by_slug.map(|(code, slug, title)| Row { code, slug: Some(slug), title }))
}

/// Returns the code of the row that a word names by its code or its slug. A word that only looks like a code is
/// returned as it is, so that the error can be reported; none for any other word.
pub(crate) fn named(word: &str) -> Option<&str> {
    let in_slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(row) = rows().find(|row| row.code == word || row.slug == Some(word)) {
        return Some(row.code);
    }
    let like_code = PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    let like_slug = word.contains('-') && word.chars().all(in_slug);
    (like_code || like_slug).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rows_share_a_name() {
        let mut names: Vec<&str> = rows().flat_map(|row| [Some(row.code), row.slug]).flatten().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_row_is_named_by_code_or_slug() {
        assert_eq!(named("O-36"), Some("O-36"));
        assert_eq!(named("proxy-is-typed"), Some("O-36"));
        assert_eq!(named("proxy-is-tpyed"), Some("proxy-is-tpyed"));
        assert_eq!(named("O-99"), Some("O-99"));
        assert_eq!(named("proxies"), None);
        assert_eq!(named("(all"), None);
    }
}
