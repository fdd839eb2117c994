//! A terminal for the command under test, with a shell's part of job control: the command is in a foreground group of
//! its own, and its parent in the same session reports when it stops, goes on, or ends.
//!
//! The parent is `psmith-wicked job-shell`, a process of its own because only a session leader can have a
//! controlling terminal. What the command writes to the terminal and what the user types go through here.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::proc;
use crate::scene::{OUTER_LIMIT, Scene};
use crate::wicked::wicked;

/// A report of the shell's part about the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShellReport {
    /// The command was started, with this pid.
    Started(i32),
    /// The command was stopped by this signal.
    Stopped(i32),
    /// The command exited with this code.
    Exited(i32),
    /// The command was ended by this signal.
    Signaled(i32),
}

/// A command on a terminal.
pub struct OnTerminal {
    master: File,
    shell: Child,
    control: ChildStdin,
    reports: Receiver<ShellReport>,
    screen: Arc<(Mutex<Vec<u8>>, Condvar)>,
    pid: i32,
}

impl OnTerminal {
    /// Starts the command under test on a fresh terminal of 80 by 24, as its foreground group. `TERM` is
    /// `xterm` unless the variables say otherwise.
    ///
    /// # Panics
    /// If the terminal cannot be made or the command not started.
    #[must_use]
    #[track_caller]
    pub fn start(scene: &Scene, args: &[&str], variables: &[(&str, &str)]) -> OnTerminal {
        OnTerminal::start_as(scene, true, args, variables)
    }

    /// Starts the command as [`OnTerminal::start`] does, but in the background, as with `&` at the end of a shell's
    /// line.
    ///
    /// # Panics
    /// If the terminal cannot be made or the command not started.
    #[must_use]
    #[track_caller]
    pub fn start_in_background(scene: &Scene, args: &[&str], variables: &[(&str, &str)]) -> OnTerminal {
        OnTerminal::start_as(scene, false, args, variables)
    }

    #[track_caller]
    fn start_as(scene: &Scene, in_foreground: bool, args: &[&str], variables: &[(&str, &str)]) -> OnTerminal {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).expect("the terminal is granted");
        unlockpt(&master).expect("the terminal is unlocked");
        let name = ptsname(&master, Vec::new()).expect("the terminal has a name");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("the terminal has a size");
        let mut command = scene
            .program(wicked())
            .arg("job-shell")
            .arg(name.to_str().expect("a terminal's name is ASCII"))
            .args((!in_foreground).then_some("&"))
            .arg(scene.psmith_path())
            .args(args)
            .env("TERM", "xterm")
            .command();
        command.envs(variables.iter().copied());
        let mut shell = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("psmith-wicked starts");
        let control = shell.stdin.take().expect("stdin is piped");
        let lines = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let (word, number) = line.split_once(' ').expect("a word and a number");
                let number = number.parse().expect("a number");
                let report = match word {
                    "started" => ShellReport::Started(number),
                    "stopped" => ShellReport::Stopped(number),
                    "exited" => ShellReport::Exited(number),
                    "signaled" => ShellReport::Signaled(number),
                    other => panic!("the shell's part said {other:?}"),
                };
                if sender.send(report).is_err() {
                    return;
                }
            }
        });
        let master = File::from(master);
        let screen: Arc<(Mutex<Vec<u8>>, Condvar)> = Arc::default();
        let mut reader = master.try_clone().expect("a descriptor for the reader");
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The read fails with EIO when the last process has left the terminal.
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 {
                    return;
                }
                shown.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
                shown.1.notify_all();
            }
        });
        let mut terminal = OnTerminal { master, shell, control, reports, screen, pid: 0 };
        match terminal.next_report() {
            ShellReport::Started(pid) => terminal.pid = pid,
            other => panic!("the command did not start: {other:?}"),
        }
        scene.guard(|guard| guard.host(terminal.pid));
        terminal
    }

    /// Returns the pid of the command under test.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Types these bytes: `\x03` is Ctrl-C, `\x1a` Ctrl-Z, `\x1c` Ctrl-backslash.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn type_keys(&mut self, keys: &[u8]) {
        self.master.write_all(keys).expect("the terminal takes keys");
    }

    /// Sends a signal to the command itself.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Continues the stopped command in the foreground.
    ///
    /// # Panics
    /// If the shell's part is gone.
    pub fn foreground(&mut self) {
        self.control.write_all(b"fg\n").expect("the shell's part takes orders");
    }

    /// Continues the stopped command in the background: the terminal stays the shell's.
    ///
    /// # Panics
    /// If the shell's part is gone.
    pub fn background(&mut self) {
        self.control.write_all(b"bg\n").expect("the shell's part takes orders");
    }

    /// Waits for the next report about the command.
    ///
    /// # Panics
    /// If none comes within the outer limit.
    #[must_use]
    #[track_caller]
    pub fn next_report(&mut self) -> ShellReport {
        match self.reports.recv_timeout(OUTER_LIMIT) {
            Ok(report) => report,
            Err(RecvTimeoutError::Timeout) => panic!(
                "no report within the outer limit of\n{}\n--- screen\n{}",
                proc::dump(self.pid),
                self.screen_text()
            ),
            Err(RecvTimeoutError::Disconnected) => panic!("the shell's part is gone: {}", self.screen_text()),
        }
    }

    /// Waits until the terminal has shown this.
    ///
    /// # Panics
    /// If it does not within the outer limit.
    #[track_caller]
    pub fn wait_for_screen(&self, text: &str) {
        let deadline = Instant::now() + OUTER_LIMIT;
        let (screen, changed) = &*self.screen;
        let mut shown = screen.lock().unwrap_or_else(PoisonError::into_inner);
        while !String::from_utf8_lossy(&shown).contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{text:?} never shown:\n{}", String::from_utf8_lossy(&shown));
            shown = changed
                .wait_timeout(shown, left.min(Duration::from_secs(1)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Gives the terminal another size, of which the command is notified.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).expect("the terminal takes a size");
    }

    /// Returns what the terminal was sent after the first `seen` bytes; waits until there is some, a second at most.
    #[must_use]
    pub fn shown_after(&self, seen: usize) -> Vec<u8> {
        let (screen, changed) = &*self.screen;
        let mut shown = screen.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() <= seen {
            let waited = changed.wait_timeout(shown, Duration::from_secs(1));
            shown = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        shown.get(seen..).unwrap_or_default().to_vec()
    }

    /// Returns all that the terminal has shown so far.
    #[must_use]
    pub fn screen_text(&self) -> String {
        String::from_utf8_lossy(&self.screen.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Returns the terminal's other end, whose modes are the terminal's.
    #[must_use]
    pub fn master(&self) -> &File {
        &self.master
    }

    /// Returns the terminal's modes.
    ///
    /// # Panics
    /// If the terminal is gone.
    #[must_use]
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.master).expect("the terminal has modes")
    }

    /// Returns whether the terminal echoes what is typed and gathers it into lines, as it did at first.
    #[must_use]
    pub fn is_cooked(&self) -> bool {
        self.modes().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// Closes the terminal under the command, as a window that is closed: the session leader ends, and the kernel
    /// hangs up the terminal and sends HUP to the foreground group.
    pub fn hang_up(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }

    /// Waits until the command is gone. After [`OnTerminal::hang_up`] its status is not reported.
    ///
    /// # Panics
    /// If it is not gone within the outer limit.
    #[track_caller]
    pub fn wait_gone(&self) {
        let deadline = Instant::now() + OUTER_LIMIT;
        while proc::is_alive(self.pid) {
            assert!(Instant::now() < deadline, "still there: {}", proc::dump(self.pid));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // Ended already in a test that passed; the leak guard takes what is left in one that failed.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
