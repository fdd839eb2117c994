//! Memory that a process and its descendants hold at present, as `/proc` tells it.
//!
//! For display: pages that processes share are counted once for each, and what is born or ends meanwhile is counted
//! or not. A limit or an outcome never rests on it.

use std::fs;
use std::io;

/// Resident memory in bytes of `pid` and its descendants, of `processes_max` processes at most. Children of other
/// threads than the main one are left out, so that the price does not grow with the threads.
///
/// # Errors
/// `ENOENT` if there is no such process, or no `/proc`.
pub fn resident_of_tree(pid: u32, processes_max: usize) -> io::Result<u64> {
    let mut bytes = resident(pid)?;
    let mut processes = vec![pid];
    let mut next = 0;
    while let Some(parent) = processes.get(next).copied() {
        next += 1;
        // Without CONFIG_PROC_CHILDREN only the process itself is counted.
        let children =
            fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        for child in children.split_ascii_whitespace().filter_map(|word| word.parse::<u32>().ok()) {
            if processes.len() >= processes_max {
                return Ok(bytes);
            }
            // A number that is met twice has changed hands during the walk; a loop is not followed.
            if !processes.contains(&child) {
                processes.push(child);
                bytes = bytes.saturating_add(resident(child).unwrap_or(0));
            }
        }
    }
    Ok(bytes)
}

fn resident(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = text.split_ascii_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    let page = rustix::param::page_size() as u64;
    Ok(pages.ok_or(io::ErrorKind::InvalidData)?.saturating_mul(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_counted_with_its_children() {
        use std::io::Read as _;
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "(echo up; read end) & wait"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut up = [0; 3];
        shell.stdout.take().unwrap().read_exact(&mut up).unwrap();
        let (alone, all) =
            (resident_of_tree(shell.id(), 1).unwrap(), resident_of_tree(shell.id(), 8).unwrap());
        assert!(alone > 0 && all > alone, "{alone} {all}");
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(resident_of_tree(u32::MAX, 8).is_err(), "no such process");
    }
}
