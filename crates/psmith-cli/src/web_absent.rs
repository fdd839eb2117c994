//! Stands in for the web board where psmith was built without it: there is none, and that is told.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use psmith_core::event::HoldReason;

use crate::history::Attempt;
use crate::record::JobRecord;

/// A board that there is none of.
pub(crate) struct Web(Infallible);

#[expect(dead_code, reason = "the news are told to nobody")]
pub(crate) enum News {
    Run(Box<Facts>),
    Started { job: u64, attempt: u32, slot: u32, pid: u32, began: Duration, text: String },
    Slow { job: u64 },
    Attempt(Attempt),
    Ended(Box<Ended>),
    Held(Option<HoldReason>, Duration),
    Width(u32, Duration),
    Total(u64),
}

#[derive(Default)]
#[expect(dead_code, reason = "the news are told to nobody")]
pub(crate) struct Facts {
    pub(crate) run: String,
    pub(crate) command: String,
    pub(crate) cwd: String,
    pub(crate) contain: &'static str,
    pub(crate) slots: u32,
    pub(crate) total: Option<u64>,
    pub(crate) began_epoch: f64,
    pub(crate) limits: Vec<(&'static str, String)>,
}

pub(crate) struct Ended;

impl Ended {
    pub(crate) fn of(_: &JobRecord<'_>, _: Duration) -> Ended {
        Ended
    }
}

impl Web {
    pub(crate) fn open(_: SocketAddr) -> io::Result<Web> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this psmith was built without the web board"))
    }

    pub(crate) fn url(&self) -> &str {
        match self.0 {}
    }

    pub(crate) fn tell(&self, _: News) {
        match self.0 {}
    }

    pub(crate) fn tell_output(&self, _: u64, _: &[u8]) {
        match self.0 {}
    }

    pub(crate) fn finish(self) {
        match self.0 {}
    }
}
