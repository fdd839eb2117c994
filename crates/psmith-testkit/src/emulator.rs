//! A terminal for tests: a pseudo-terminal whose other end is an emulated screen.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::OUTER_LIMIT;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use vt100::{Parser, Screen};

/// Rows that the emulated terminal keeps above its screen.
const SCROLLBACK: usize = 10_000;

/// A terminal.
pub struct Terminal {
    master: File,
    parser: Arc<(Mutex<Parser>, Condvar)>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    /// Creates a terminal of this size, and the end of it that programs write to.
    pub fn new(columns: u16, rows: u16) -> (Terminal, OwnedFd) {
        let (terminal, slave) = Terminal::unread(columns, rows);
        (terminal.read(), slave)
    }

    /// Creates a terminal that shows nothing, as one that is held up by Ctrl-S.
    pub fn unread(columns: u16, rows: u16) -> (Terminal, OwnedFd) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
        let slave = rustix::fs::open(&name, flags, rustix::fs::Mode::empty()).unwrap();
        let parser = Parser::new(number(rows), number(columns), SCROLLBACK);
        let parser = Arc::new((Mutex::new(parser), Condvar::new()));
        let terminal = Terminal { master: master.into(), parser, reader: None };
        terminal.resize(columns, rows);
        (terminal, slave)
    }

    fn read(mut self) -> Terminal {
        let mut master = self.master.try_clone().unwrap();
        let parser = Arc::clone(&self.parser);
        self.reader = Some(std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The read fails with EIO when no process holds the other end any more.
            while let Ok(count @ 1..) = master.read(&mut buffer) {
                parser.0.lock().unwrap_or_else(PoisonError::into_inner).process(&buffer[..count]);
                parser.1.notify_all();
            }
        }));
        self
    }

    /// Changes the size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let mut parser = self.parser.0.lock().unwrap_or_else(PoisonError::into_inner);
        tcsetwinsize(&self.master, size).unwrap();
        parser.screen_mut().set_size(number(rows), number(columns));
    }

    /// Waits until the screen satisfies the condition, and returns its text.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&Screen) -> bool) -> String {
        let deadline = Instant::now() + OUTER_LIMIT;
        let mut parser = self.parser.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !is_so(parser.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never {what}:\n{}", parser.screen().contents());
            let wait = left.min(Duration::from_secs(1));
            parser = self.parser.1.wait_timeout(parser, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        parser.screen().contents()
    }

    /// Waits until all processes have left the terminal and all that they wrote is on the screen.
    pub fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }

    /// Returns whether the cursor is visible, and no other mode is left on.
    pub fn is_as_it_was(&self) -> bool {
        let parser = self.parser.0.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = parser.screen();
        !screen.hide_cursor() && !screen.alternate_screen()
    }

    /// Returns all lines, those above the screen first; the ends of lines without their blanks.
    pub fn transcript(&self) -> Vec<String> {
        let mut parser = self.parser.0.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = parser.screen_mut();
        let columns = screen.size().1;
        screen.set_scrollback(usize::MAX);
        let above = screen.scrollback();
        let mut lines = Vec::new();
        for offset in (1..=above).rev() {
            screen.set_scrollback(offset);
            lines.extend(screen.rows(0, columns.into()).next());
        }
        screen.set_scrollback(0);
        lines.extend(screen.rows(0, columns.into()));
        let mut lines: Vec<String> = lines.iter().map(|line| line.trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

fn number(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}
