//! Memory and processor time of a process and its children, read from /proc. Changes nothing in the process that it
//! measures.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::shell::Result;

/// A child that is killed when the benchmark returns early.
pub(super) struct Watched(Child);

/// Samples of resident memory through a run: seconds since its start, bytes.
pub(super) struct Samples(Vec<(f64, u64)>);

impl Watched {
    /// Starts the process to be measured.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let line = crate::shell::shown(command);
        command.spawn().map(Self).map_err(|error| format!("failed to start `{line}`: {error}"))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Samples host and warden until the end; an end other than 0 is an error.
    pub(super) fn sample_to_end(mut self, every: Duration) -> Result<(Samples, f64)> {
        let begin = Instant::now();
        let mut samples = Vec::new();
        loop {
            let status = self.0.try_wait().map_err(|error| format!("failed to wait: {error}"))?;
            let now = begin.elapsed().as_secs_f64();
            if let Some(status) = status {
                let samples = Samples(samples);
                return if status.success() {
                    Ok((samples, now))
                } else {
                    Err(format!("it ended with {status}"))
                };
            }
            let resident: u64 = host_and_warden(self.pid()).into_iter().map(resident_bytes).sum();
            if resident > 0 {
                samples.push((now, resident));
            }
            std::thread::sleep(every);
        }
    }

    /// Returns the processor time of host and warden, as last read before their end; an end other than 0 is an error.
    pub(super) fn processor_to_end(mut self, every: Duration) -> Result<f64> {
        let mut used = BTreeMap::new();
        loop {
            if let Some(status) = self.0.try_wait().map_err(|error| format!("failed to wait: {error}"))? {
                let used = used.values().sum();
                return if status.success() { Ok(used) } else { Err(format!("it ended with {status}")) };
            }
            for pid in host_and_warden(self.pid()) {
                let last = used.entry(pid).or_insert(0.0);
                *last = processor_seconds(pid).max(*last);
            }
            std::thread::sleep(every);
        }
    }

    /// Kills the process, for benchmarks of that.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.0
            .kill()
            .and_then(|()| self.0.wait())
            .map(|_| ())
            .map_err(|error| format!("failed to kill: {error}"))
    }

    /// Sends it SIGTERM, and waits.
    pub(super) fn terminate(mut self) -> Result<()> {
        let pid = self.pid().to_string();
        crate::shell::run(Command::new("kill").args(["-TERM", &pid]))?;
        self.0.wait().map(|_| ()).map_err(|error| format!("failed to wait: {error}"))
    }

    /// Returns whether it has ended already.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.has_ended() {
            // A failure is ignored here: the benchmark is already failing.
            let _ = self.kill();
        }
    }
}

impl Samples {
    pub(super) fn peak(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }

    /// Returns the memory at the beginning of the run: the first sample after the warden was started.
    pub(super) fn first(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| *bytes).find(|bytes| *bytes > 0).unwrap_or(0)
    }

    /// Returns the greatest of the last tenth of the time, less the greatest of the first tenth.
    pub(super) fn growth_between_tenths(&self) -> i64 {
        let end = self.0.last().map_or(0.0, |(at, _)| *at);
        let greatest = |from: f64, to: f64| {
            let inside = self.0.iter().filter(|(at, _)| *at >= from * end && *at <= to * end);
            inside.map(|(_, bytes)| *bytes).max().unwrap_or(0).cast_signed()
        };
        greatest(0.9, 1.0) - greatest(0.0, 0.1)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Returns the process and its direct children: jobs are spawned in the warden, so the host's only child is the warden.
pub(super) fn host_and_warden(host: u32) -> Vec<u32> {
    let mut family = vec![host];
    family.extend(children(host));
    family
}

/// Returns the direct children of all threads of a process.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Returns the name that the kernel shows for a process.
pub(super) fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// Returns `VmRSS`; 0 when the process has ended.
pub(super) fn resident_bytes(pid: u32) -> u64 {
    field_bytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Returns `Pss`: shared pages counted by their share.
pub(super) fn proportional_bytes(pid: u32) -> u64 {
    field_bytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// Returns the seconds on a processor, of all live threads, to the nanosecond if the kernel has schedstat.
pub(super) fn processor_seconds(pid: u32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let nanoseconds = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanoseconds.sum::<u64>() as f64 / 1e9
}

/// Returns live processes, zombies not counted, whose arguments hold a text.
pub(super) fn with_argument(text: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // A zombie's command line is empty, so it never matches.
    pids.filter(|pid| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))
    })
    .collect()
}

fn field_bytes(path: &str, field: &str) -> u64 {
    let Ok(text) = fs::read_to_string(path) else { return 0 };
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_are_of_time() {
        let samples = Samples((0u8..=100).map(|at| (f64::from(at), 1000 + u64::from(at))).collect());
        assert_eq!(samples.growth_between_tenths(), 90);
        assert_eq!(samples.peak(), 1100);
        assert_eq!(samples.first(), 1000);
    }

    #[test]
    fn our_own_memory_can_be_read() {
        let pid = std::process::id();
        assert!(resident_bytes(pid) > 100_000);
        assert!(processor_seconds(pid) >= 0.0);
        assert!(!name(pid).is_empty());
    }
}
