//! Memory and processor time that a process and its descendants use at present, as `/proc` reports it.
//!
//! For display: pages that processes share are counted once for each, and a process that is spawned or ends meanwhile
//! is counted or not. A limit or an outcome never depends on it.

use std::fs;
use std::io;
use std::time::Duration;

/// The resources that a tree of processes uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeUsage {
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Processor time so far, of the processes that were waited for as well. It falls when a process ends that its
    /// parent does not wait for.
    pub cpu: Duration,
}

/// Returns the resources that `pid` and its descendants use, `processes_max` processes at most. Children of other
/// threads than the main one are left out, so that the cost does not grow with the threads.
///
/// # Errors
/// `ENOENT` if there is no such process, or no `/proc`.
pub fn usage_of_tree(pid: u32, processes_max: usize) -> io::Result<TreeUsage> {
    let mut usage = TreeUsage { resident_bytes: resident(pid)?, cpu: cpu(pid)? };
    for descendant in descendants(pid, processes_max) {
        // A process that has just ended uses nothing.
        usage.resident_bytes = usage.resident_bytes.saturating_add(resident(descendant).unwrap_or(0));
        usage.cpu = usage.cpu.saturating_add(cpu(descendant).unwrap_or_default());
    }
    Ok(usage)
}

/// Returns the memory alone, in bytes.
///
/// # Errors
/// As [`usage_of_tree`].
pub fn resident_of_tree(pid: u32, processes_max: usize) -> io::Result<u64> {
    let first = resident(pid)?;
    let others = descendants(pid, processes_max);
    Ok(others.into_iter().fold(first, |sum, one| sum.saturating_add(resident(one).unwrap_or(0))))
}

/// Returns the descendants of `pid`, so that with itself there are at most `processes_max`.
fn descendants(pid: u32, processes_max: usize) -> Vec<u32> {
    let mut processes = vec![pid];
    let mut next = 0;
    while processes.len() < processes_max
        && let Some(parent) = processes.get(next).copied()
    {
        next += 1;
        // Without CONFIG_PROC_CHILDREN only the process itself is counted.
        let children =
            fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        for child in children.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()) {
            // A number that is met twice was reused during the walk; a loop is not followed.
            if processes.len() < processes_max && !processes.contains(&child) {
                processes.push(child);
            }
        }
    }
    processes.remove(0);
    processes
}

fn resident(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = text.split_ascii_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    let page = rustix::param::page_size() as u64;
    Ok(pages.ok_or(io::ErrorKind::InvalidData)?.saturating_mul(page))
}

fn cpu(pid: u32) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = cpu_ticks(&text).ok_or(io::ErrorKind::InvalidData)?;
    let a_second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_millis(ticks.saturating_mul(1000) / a_second))
}

/// Returns the sum of the fields utime, stime, cutime and cstime of a `stat` file. The name before them may hold
/// blanks and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
    (ticks.len() == 4).then(|| ticks.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_counted_with_its_children() {
        use std::io::Read as _;
        // A background process has no standard input: the child waits at a copy of the shell's.
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "exec 3<&0; (echo up; read end <&3) & wait"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut up = [0; 3];
        shell.stdout.take().unwrap().read_exact(&mut up).unwrap();
        let (alone, all) =
            (resident_of_tree(shell.id(), 1).unwrap(), resident_of_tree(shell.id(), 8).unwrap());
        assert!(alone > 0 && all > alone, "{alone} {all}");
        assert_eq!(usage_of_tree(shell.id(), 1).unwrap().resident_bytes, alone);
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(resident_of_tree(u32::MAX, 8).is_err(), "no such process");
    }

    #[test]
    fn processor_time_is_counted_with_that_of_ended_children() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194304 100 200 0 0 7 5 300 20 20 0 1 0 9 1 1";
        assert_eq!(cpu_ticks(stat), Some(332));
        assert_eq!(cpu_ticks("42 (cut short) S 1 42"), None);
        let before = usage_of_tree(std::process::id(), 1).unwrap().cpu;
        // Work, until the kernel's clock has moved.
        let mut sum = 0_u64;
        while usage_of_tree(std::process::id(), 1).unwrap().cpu == before {
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
    }
}
