//! The needs of tests on the machine, probed by doing; and the ledger of what could not be shown here.
//!
//! The test runner calls a test that could not run "passed", so the ledger is the truth: one line on stderr and
//! one record in the file that `PSMITH_TEST_LEDGER` names. With `CI=true` only what the machine truly cannot do
//! may be skipped; `PSMITH_TEST_REQUIRE=root,cgroup` makes the named needs mandatory.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::leak::group_mounts;

/// A facility that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A writable v2 group in which `cgroup.kill` works.
    CgroupKill,
    /// A writable group with a memory limit, v1 or v2.
    MemoryGroup,
    /// A writable group with a limit of processes, v1 or v2.
    PidsGroup,
    /// A writable group with a quota of processor time, v1 or v2.
    CpuGroup,
    /// Root.
    Root,
    /// The right to mount a tmpfs of a chosen size.
    Tmpfs,
    /// A kernel that writes core files into the working directory.
    CoreFiles,
    /// `/dev/full`.
    DevFull,
    /// The right to mount a file system whose other end does not reply.
    Fuse,
    /// A program in PATH; it could be installed, so CI must have it.
    Program(&'static str),
}

/// Asks for a [`Need`]; where it is absent, writes to the ledger and returns from the test.
/// The first argument names the rows that the test would have proved.
#[macro_export]
macro_rules! need {
    ($proves:expr, $need:expr) => {
        if !$crate::need::is_met($proves, $need) {
            return;
        }
    };
}

impl Need {
    /// Returns its name in `PSMITH_TEST_REQUIRE` and in the ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Need::CgroupKill => "cgroup",
            Need::MemoryGroup => "memory",
            Need::PidsGroup => "pids",
            Need::CpuGroup => "cpu",
            Need::Root => "root",
            Need::Tmpfs => "tmpfs",
            Need::CoreFiles => "core",
            Need::DevFull => "devfull",
            Need::Fuse => "fuse",
            Need::Program(name) => name,
        }
    }

    /// The needs that do not name a program.
    pub const MACHINE: [Need; 9] = [
        Need::CgroupKill,
        Need::MemoryGroup,
        Need::PidsGroup,
        Need::CpuGroup,
        Need::Root,
        Need::Tmpfs,
        Need::CoreFiles,
        Need::DevFull,
        Need::Fuse,
    ];

    /// Tries it.
    ///
    /// # Errors
    /// Why not, with the kernel's words.
    pub fn probe(self) -> Result<(), String> {
        let forbidden = std::env::var("PSMITH_FORBID").unwrap_or_default();
        let is_group =
            matches!(self, Need::CgroupKill | Need::MemoryGroup | Need::PidsGroup | Need::CpuGroup);
        if is_group && forbidden.split(',').any(|word| word.trim() == "cgroup") {
            return Err("forbidden by PSMITH_FORBID".to_owned());
        }
        match self {
            Need::CgroupKill => probe_kill(),
            Need::MemoryGroup => probe_limit(
                "memory",
                &[("memory.max", "1073741824"), ("memory.limit_in_bytes", "1073741824")],
            ),
            Need::PidsGroup => probe_limit("pids", &[("pids.max", "100")]),
            Need::CpuGroup => probe_limit("cpu", &ONE_CPU),
            Need::Root => {
                if rustix::process::geteuid().is_root() {
                    Ok(())
                } else {
                    Err("not root".to_owned())
                }
            }
            Need::Tmpfs => probe_tmpfs(),
            Need::CoreFiles => {
                let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
                let pattern = pattern.trim();
                if pattern.is_empty() || pattern.starts_with(['|', '/', '@']) {
                    Err(format!("core_pattern is {pattern:?}"))
                } else {
                    Ok(())
                }
            }
            Need::DevFull => {
                fs::metadata("/dev/full").map(drop).map_err(|error| format!("/dev/full: {error}"))
            }
            Need::Fuse => probe_fuse(),
            Need::Program(name) => find_program(name).map(drop).ok_or_else(|| format!("no {name} in PATH")),
        }
    }
}

/// Returns whether the machine has it. Otherwise the ledger has a record of what was not shown.
///
/// # Panics
/// If the need is mandatory here.
#[must_use]
#[track_caller]
pub fn is_met(proves: &str, need: Need) -> bool {
    let Err(reason) = need.probe() else { return true };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("?");
    let line = format!("SKIPPED {test} [{proves}]: needs {}: {reason}", need.name());
    let required = std::env::var("PSMITH_TEST_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|name| name == need.name());
    let installable = matches!(need, Need::Program(_));
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!is_required, "{line} (PSMITH_TEST_REQUIRE={required})");
    assert!(!(in_ci && installable), "{line} (CI=true: install it)");
    // Written past the harness's capture: a skip must be seen.
    let _ = writeln!(std::io::stderr(), "{line}");
    if let Some(ledger) = std::env::var_os("PSMITH_TEST_LEDGER") {
        // The record that `cargo xtask test` reads: a program could be installed, all else was probed by doing.
        let rows: Vec<&str> = proves.split([',', ' ']).filter(|row| !row.is_empty()).collect();
        let record = serde_json::json!({
            "test": test, "rows": rows, "needs": need.name(), "why": reason, "machine": !installable,
        });
        let mut file =
            fs::OpenOptions::new().append(true).create(true).open(&ledger).expect("the ledger opens");
        // One write, so that records of several test programs do not mix.
        file.write_all(format!("{record}\n").as_bytes()).expect("the ledger takes a record");
    }
    false
}

/// Returns the path of a program in PATH.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| {
        use std::os::unix::fs::PermissionsExt;
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// A directory made for a probe, removed again.
struct ProbeGroup(PathBuf);

impl ProbeGroup {
    fn make(parent: &Path) -> Result<ProbeGroup, String> {
        // Tests probe at the same time, from several threads.
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("probe-of-test-{}-{count}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| format!("mkdir {}: {error}", dir.display()))?;
        Ok(ProbeGroup(dir))
    }
}

impl Drop for ProbeGroup {
    fn drop(&mut self) {
        for _ in 0..1000 {
            match fs::remove_dir(&self.0) {
                // A killed process is charged to its group a moment longer.
                Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                _ => return,
            }
        }
    }
}

/// Returns this process's own group in the hierarchy at the mount, as psmith would use it.
fn own_group(mount: &Path) -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let is_v2 = mount.join("cgroup.controllers").exists();
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let matches = if is_v2 {
            controllers.is_empty()
        } else {
            mount.file_name().is_some_and(|name| controllers.split(',').any(|word| name == word))
        };
        matches.then(|| mount.join(path.trim_start_matches('/')))
    })
}

fn probe_kill() -> Result<(), String> {
    let mut reason = "no cgroup2 mount".to_owned();
    for mount in group_mounts().into_iter().filter(|mount| mount.join("cgroup.controllers").exists()) {
        let Some(parent) = own_group(&mount) else { continue };
        match ProbeGroup::make(&parent).and_then(|group| kill_in(&group.0)) {
            Ok(()) => return Ok(()),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

fn kill_in(group: &Path) -> Result<(), String> {
    let mut sleeper = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("sleep: {error}"))?;
    let procs = group.join("cgroup.procs");
    let killed = fs::write(&procs, sleeper.id().to_string())
        .map_err(|error| format!("write {}: {error}", procs.display()))
        .and_then(|()| {
            let kill = group.join("cgroup.kill");
            // Opened without O_CREAT: where the kernel has no such file, the open fails.
            fs::OpenOptions::new()
                .write(true)
                .open(&kill)
                .and_then(|mut file| file.write_all(b"1"))
                .map_err(|error| format!("write {}: {error}", kill.display()))
        });
    if killed.is_err() {
        let _ = sleeper.kill();
    }
    let _ = sleeper.wait();
    killed
}

/// The limit of one processor, as either version writes it.
const ONE_CPU: [(&str, &str); 2] = [("cpu.max", "100000 100000"), ("cpu.cfs_quota_us", "100000")];

/// A group that may use one processor, removed when dropped; no process may be in it by then.
pub struct OneCpu(ProbeGroup);

impl OneCpu {
    /// Makes the group.
    ///
    /// # Errors
    /// The reason why not, as for [`Need::CpuGroup`].
    pub fn make() -> Result<OneCpu, String> {
        limited_group("cpu", &ONE_CPU).map(OneCpu)
    }

    /// Starts this program in it.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo 0 >\"$1\" && shift && exec \"$@\"", "sh"]);
        command.arg(self.0.0.join("cgroup.procs")).arg(program);
        command
    }
}

fn probe_limit(controller: &str, files: &[(&str, &str)]) -> Result<(), String> {
    limited_group(controller, files).map(drop)
}

/// Makes a group with one of these limits, in the hierarchy that has it.
fn limited_group(controller: &str, files: &[(&str, &str)]) -> Result<ProbeGroup, String> {
    let mut reason = format!("no hierarchy with the {controller} controller");
    for mount in group_mounts() {
        let Some(parent) = own_group(&mount) else { continue };
        let Ok(group) = ProbeGroup::make(&parent) else { continue };
        for (file, value) in files {
            let path = group.0.join(file);
            match fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|mut file| file.write_all(value.as_bytes()))
            {
                Ok(()) => return Ok(group),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => reason = format!("write {}: {error}", path.display()),
            }
        }
    }
    Err(reason)
}

fn probe_tmpfs() -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    mount_tmpfs(dir.path(), "64k").map(drop)
}

fn probe_fuse() -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mount = "exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 none \"$1\" \
                 && exec umount -l \"$1\"";
    let output = Command::new("/bin/sh")
        .args(["-c", mount, "sh"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("sh: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("mount -t fuse: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// A mounted tmpfs, unmounted when dropped.
pub struct Mounted(PathBuf);

/// Mounts a tmpfs of this size (as `mount` takes it) on a directory.
///
/// # Errors
/// What `mount` said.
pub fn mount_tmpfs(dir: &Path, size: &str) -> Result<Mounted, String> {
    let output = Command::new("mount")
        .args(["-t", "tmpfs", "-o"])
        .arg(format!("size={size},mode=0777"))
        .arg("psmith-test")
        .arg(dir)
        .output()
        .map_err(|error| format!("mount: {error}"))?;
    if output.status.success() {
        Ok(Mounted(dir.to_owned()))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
